"""Large collections on Ray: encoded, decoded or evaluated into Parquet, resumable, one input exactly once."""

#: Least rows of a part by default: enough to make it worth a file, few enough that a kill loses little.
PART_ROWS = 256
