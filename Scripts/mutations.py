"""Ways to make a valid file hostile: by its structure and by its bytes. Used by Scripts/fuzz.

Every function takes the random generator first and returns bytes; none looks at the file system.
"""

import json
import struct
import sys

HUGE = ["1", "9" * 400, "1e308", "1e400", "-1e400", "1e-400", "0.1", "-0.0", "NaN", "Infinity"]
WHOLE = [0, -1, 1, 2, 3, 255, 4096, 65537, 1048577] + [
    sign * 2**power + add for power in (15, 31, 32, 53, 62, 63, 64) for sign in (1, -1) for add in (-1, 0)
]
TEXTS = [
    "", " ", "x" * 5000, "../../../../etc/passwd", "/dev/zero", "a\nb", "a\r\nb", 'a"b', "=1+1", "@x", "-1", "+x",
    "\u202eabc", "\u009b31m", "\x1b[2J", "\x00", "\ud800", "lstm", "mamba", "transformer", "jamba", "bert", "gpt2",
    "llama", "float16", "null", "2015-12-31", "9999-12-31", "0001-01-01", "steps", "lastWeekday", "forecast",
]


class Raw(str):
    """Written into JSON as it stands."""


def dump(value):
    """JSON that may hold `Raw` parts and, as a list of pairs, doubled keys."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(json.dumps(key) + ": " + dump(item) for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dump(item) for item in value) + "]"
    return json.dumps(value)


# One mutant nests an array as deep as no reader should follow, and the next may be made of it.
sys.setrecursionlimit(100_000)


class Pairs(list):
    """The members of an object, in order."""


def places(value, parent=None, key=None):
    """Every value of a tree with the container and the position it stands at."""
    yield parent, key
    if isinstance(value, Pairs):
        for index, (_, item) in enumerate(value):
            yield from places(item, value, index)
    elif isinstance(value, list):
        for index, item in enumerate(value[:50]):
            yield from places(item, value, index)


def get(container, index):
    return container[index][1] if isinstance(container, Pairs) else container[index]


def put(container, index, value):
    container[index] = (container[index][0], value) if isinstance(container, Pairs) else value


def hostile(random, old=None):
    kind = random.randrange(9)
    if kind < 3 or (kind < 6 and isinstance(old, (int, float))):
        return random.choice(WHOLE)
    if kind == 3:
        return Raw(random.choice(HUGE))
    if kind == 4:
        return random.choice(TEXTS)
    if kind == 5:
        return random.choice([None, True, False, [], Pairs(), [[]], [None], Pairs([("a", 1)])])
    if kind == 6:
        return Raw("[" * 3000 + "]" * 3000) if random.random() < 0.5 else Raw('{"a":' * 3000 + "1" + "}" * 3000)
    if kind == 7:
        return [random.choice(WHOLE)] * random.choice([1, 2, 7, 1000, 100000])
    return random.choice([0.5, -0.5, 1e-9, 1e9, 1.0, 1e300, 2**31 + 0.5])


def mutated_tree(random, tree):
    """Changes one place of a parsed document, in place where it can."""
    found = [place for place in places(tree) if place[0] is not None]
    if not found or random.random() < 0.02:
        return hostile(random)
    container, index = random.choice(found)
    old = get(container, index)
    kind = random.randrange(12)
    if kind < 6:
        put(container, index, hostile(random, old))
    elif kind == 6:
        del container[index]
    elif kind == 7 and isinstance(container, Pairs):
        container.append((container[index][0], hostile(random, old)))  # a key twice
    elif kind == 8 and isinstance(container, Pairs):
        name = random.choice([random.choice(TEXTS), container[index][0] + "x", container[index][0].upper()])
        container[index] = (name, old)
    elif kind == 9:
        other, position = random.choice(found)
        mine, theirs = old, get(other, position)
        put(container, index, theirs if theirs is not tree else None)
        put(other, position, mine if not isinstance(mine, list) else None)
    elif kind == 10 and isinstance(old, list) and not isinstance(old, Pairs):
        put(container, index, random.choice([old[1:], old + old, old[::-1], old * 1000, old[:1], old + [None]]))
    elif isinstance(old, (int, float)) and not isinstance(old, bool):
        put(container, index, random.choice([old + 1, old - 1, -old, old * 2, old * 1000003, old // 2, float(old)]))
    else:
        put(container, index, hostile(random, old))
    return tree


def mutated_json(random, data):
    try:
        tree = json.loads(data, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return mutated_bytes(random, data)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        tree = mutated_tree(random, tree)
        if not isinstance(tree, list):
            break
    return dump(tree).encode("utf-8", "surrogatepass")


def mutated_safetensors(random, data):
    """A header whose fields lie, or numbers that are none."""
    length = struct.unpack("<Q", data[:8].ljust(8, b"\0"))[0]
    header, body = data[8 : 8 + length], bytearray(data[8 + length :])
    try:
        tree = json.loads(header, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):  # changed before
        return mutated_bytes(random, data)
    kind = random.randrange(6)
    if kind == 0:
        wrong = random.choice([0, 1, length - 1, length + 1, len(data), 2**31, 2**63, 2**64 - 1, 10**8 + 1])
        return struct.pack("<Q", wrong % 2**64) + header + bytes(body)
    if kind == 1 and body:
        special = random.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f"])
        start = random.randrange(len(body)) // 4 * 4
        body[start : start + 4] = special
        return struct.pack("<Q", length) + header + bytes(body[: len(data) - 8 - length])
    if kind == 2:  # another type or shape of the same number of bytes
        entry = random.choice([item for name, item in tree if name != "__metadata__"] or [Pairs()])
        fields = dict(entry)
        shape, count = fields.get("shape", []), 1
        for size in shape:
            count *= size
        choice = random.choice(
            [("I32", shape), ("I64", [count // 2]), ("F64", [count // 2]), ("BF16", shape + [2]), ("U8", [count * 4]),
             ("F32", [1] * 70 + shape), ("F32", shape[::-1]), ("F32", [count]), ("F32", [0] + shape), ("BOOL", [4 * count])])
        entry[:] = [(k, {"dtype": choice[0], "shape": choice[1]}.get(k, v)) for k, v in entry]
    else:
        tree = mutated_tree(random, tree)
    text = dump(tree).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


CELLS = [
    "", "-", "nan", "1e400", "-1e308", "1e308", "1e-320", "0", "-1", "9223372036854774784", "-9223372036854775808",
    "9223372036854775807", "99999999999999999999", "0001-01-01", "9999-12-31", "9999-12-31T23:59:60Z", "10000-01-01",
    "1970-01-01", "253402300799", "-62135596800", "253402300799000000", "2015-13-45", "2015-W53-7", "=cmd|'/c calc'!A0",
    '"', '""', '"a""b"', '"a\nb"', "a\x00b", "\xff", "\u202e", "1,5", "1.234,56", "(3)", "$4", "5%", "6K", "x" * 3000,
    "9" * 30, "0x10", "inf", "-0", "1e15", "1000000000000001", "\ufeff", "#", "sep=;",
]
NAMES = ["", "date", "close", "Date", "unique_id", "year", "month", "V1", "V9223372036854775807", "=1", '"a\nb"', "ds"]


def mutated_csv(random, data):
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(random.choice([1, 1, 2, 4])):
        kind, row = random.randrange(14), random.randrange(len(lines))
        cells = lines[row].split(",")
        if kind < 5:
            cells[random.randrange(len(cells))] = random.choice(CELLS)
            lines[row] = ",".join(cells)
        elif kind == 5:  # a whole column
            column, cell = random.randrange(len(cells)), random.choice(CELLS)
            for index in range(1, len(lines)):
                parts = lines[index].split(",")
                if column < len(parts):
                    parts[column] = cell
                lines[index] = ",".join(parts)
        elif kind == 6:  # times far apart, near or beyond what a number holds
            start, step = random.choice(WHOLE), random.choice([1, 60, 86400, 2**40, 2**60])
            for index in range(1, len(lines)):
                lines[index] = ",".join([str(start + index * step)] + lines[index].split(",")[1:])
        elif kind == 7:
            header = lines[0].split(",")
            header[random.randrange(len(header))] = random.choice(NAMES)
            lines[0] = ",".join(header)
        elif kind == 8:
            del lines[row]
            lines = lines or [""]
        elif kind == 9:
            lines.insert(row, random.choice([lines[row], "", "#x", "sep=" + random.choice(';"\t1 ,'), "x" * 2000, ",,,"]))
        elif kind == 10:
            lines[row] = ",".join(cells[:-1] if random.random() < 0.5 else cells + cells)
        elif kind == 11:
            delimiter = random.choice(";|\t ")
            lines = [line.replace(",", delimiter) for line in lines]
        elif kind == 12:
            lines = random.choice([lines[:1] + lines[:0:-1], lines[1:], lines[:2], lines[:1] + lines[1:2] * 40, lines[:1]])
            lines = lines or [""]
        else:
            lines[row] = lines[row] + random.choice(['"', "\r", "\r\n", "\0", "\x1b[2J", "," * 70000])
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def mutated_bytes(random, data):
    data = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8])):
        kind = random.randrange(8)
        place = random.randrange(len(data) + 1)
        if kind == 0:
            del data[place:]  # every prefix of a small file comes up
        elif kind == 1 and data:
            data[place % len(data)] ^= 1 << random.randrange(8)
        elif kind == 2 and data:
            data[place % len(data)] = random.choice([0, 9, 10, 13, 34, 44, 91, 92, 123, 127, 128, 255])
        elif kind == 3:
            data[place:place] = bytes(random.randrange(256) for _ in range(random.choice([1, 4, 100])))
        elif kind == 4:
            del data[place : place + random.choice([1, 4, 100])]
        elif kind == 5:
            piece = data[place : place + random.choice([4, 40, 400])]
            data[random.randrange(len(data) + 1) :][:0] = piece
            data += piece
        elif kind == 6:
            data = data[: place] + data[place // 2 :]
        else:
            data[place:place] = random.choice([b"[" * 2000, b'{"a":' * 2000, b"9" * 2000, b"\n" * 2000, b"\xf0\x9f\x98"])
    return bytes(data)
