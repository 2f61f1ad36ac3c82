"""Writes 2bit files byte by byte, by the public description of the format."""

import re
import struct


def two_bit(records, order="<", version=0):
    """Return the bytes of a 2bit file of name -> letters; lower case is masked, N unknown."""
    names = list(records)
    wide = "Q" if version else "I"
    at = 16 + sum(1 + len(n) + struct.calcsize(f"{order}{wide}") for n in names)
    index, bodies = b"", b""
    for name in names:
        letters = records[name]
        index += struct.pack("B", len(name)) + name.encode()
        index += struct.pack(f"{order}{wide}", at + len(bodies))
        body = struct.pack(f"{order}I", len(letters))
        for pattern in ("[Nn]+", "[a-z]+"):
            blocks = [(m.start(), m.end() - m.start()) for m in re.finditer(pattern, letters)]
            body += struct.pack(f"{order}I", len(blocks))
            body += struct.pack(f"{order}{len(blocks)}I", *(b[0] for b in blocks))
            body += struct.pack(f"{order}{len(blocks)}I", *(b[1] for b in blocks))
        body += struct.pack(f"{order}I", 0)
        padded = letters.upper().replace("N", "T") + "T" * (-len(letters) % 4)
        for k in range(0, len(padded), 4):
            byte = 0
            for letter in padded[k : k + 4]:
                byte = byte << 2 | "TCAG".index(letter)
            body += struct.pack("B", byte)
        bodies += body
    return struct.pack(f"{order}4I", 0x1A412743, version, len(names), 0) + index + bodies
