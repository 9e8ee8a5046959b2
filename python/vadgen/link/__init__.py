"""The link between host and firmware: messages, frames, ports, and the host's side of a session.

`docs/link.md` tells the protocol; `messages.py` is its only description, from which the C header
`vad_link_messages.h` is rendered.
"""
