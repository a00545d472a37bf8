"""Where images come from.

A source gives blobs (`layerdisk.content.Provider`) and lists what it has (`index`).
"""
