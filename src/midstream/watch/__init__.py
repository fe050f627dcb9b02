"""`midstream watch`: a page on this machine that shows a source going through the stream codec.

One thread reads the source (`feed`), one runs front, encoder, decoder and back (`worker`), and the event loop serves
the page (`server`). Between them there are never more than a few frames, of which the newest wins.
"""
