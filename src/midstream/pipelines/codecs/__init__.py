"""The codecs that can be compared, one file each; a class with a `name` is found without being listed anywhere."""
