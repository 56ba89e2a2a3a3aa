#!/usr/bin/env python3
"""flips.py ROOTLET [COUNT [SEED [FIRST]]]: looks into images whose metadata has been corrupted at random.

Makes small images of all kinds in the current folder, corrupts a copy of one of them COUNT times, and has some
verbs of rootlet look at each copy. Every one must end within seconds, with one of its statuses, without a
sanitizer's report, in lines that a terminal takes, and leave the image and all but its target alone. What pack
makes of a broken image must be sound in e2fsck's eyes. FIRST skips those before it: a number that failed is made
again alone by the same seed. Prints what is wrong, a line each; status 1 then.
"""
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys

CPU_SECONDS = 10  # of one verb
WALL_SECONDS = 120  # the machine may be busy with other things
OUTPUT_MAX = 64 << 20
MEMORY_MAX = 1 << 30  # of a program without sanitizers, which take address space by the terabyte
DATA = b"contents of a file, not metadata\n"

# Name, options of mke2fs, size in KiB, features that debugfs sets afterwards.
KINDS = [
    ("revision0", "-t ext2 -r 0 -O none -b 1024", 2048),
    ("ext2", "-t ext2 -b 1024 -I 128", 2048),
    ("ext3", "-t ext3 -b 1024 -J size=1", 4096),
    ("ext4", "-t ext4 -b 1024 -O ^metadata_csum -J size=1", 4096),
    ("4k", "-t ext4 -b 4096 -O ^metadata_csum,^has_journal", 4096),
    ("64k", "-t ext4 -b 65536 -O ^metadata_csum,^has_journal", 8192),
    ("sums", "-t ext4 -b 1024 -J size=1", 4096),
    ("bigalloc", "-t ext4 -b 1024 -C 4096 -O bigalloc,^metadata_csum,^has_journal", 4096),
    ("inline", "-t ext4 -b 1024 -O inline_data,^metadata_csum,^has_journal", 2048),
    ("ea_inode", "-t ext4 -b 1024 -O ea_inode,^metadata_csum,^has_journal", 2048),
    ("meta_bg", "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode,^metadata_csum,^has_journal", 4096),
    ("encrypt", "-t ext4 -b 1024 -O encrypt,casefold,large_dir,^metadata_csum,^has_journal", 2048),
    ("unclean", "-t ext4 -b 1024 -O ^metadata_csum -J size=1", 4096),
    ("unclean-ext3", "-t ext3 -b 1024 -J size=1", 4096),
]


def make_tree():
    """What the images hold: names of all kinds, maps of some depth, attributes in inodes and blocks."""
    os.makedirs("tree/dir/deep/deeper")
    os.makedirs("tree/many")
    os.makedirs("tree/empty")
    for i in range(150):
        with open(f"tree/many/a name that is of some length {i:03}", "w"):
            pass
    for size in (1, 50, 150, 1000, 9000):
        with open(f"tree/dir/size-{size}", "wb") as f:
            f.write((DATA * (size // len(DATA) + 1))[:size])
    # Each piece an extent of its own, or far enough for all levels of indirect blocks.
    with open("tree/pieces", "wb") as f:
        for i in range(120):
            f.seek(i * 8192)
            f.write(DATA)
    with open("tree/far", "wb") as f:
        for place in (0, 300 << 10, 70 << 20):
            f.seek(place)
            f.write(DATA)
    os.symlink("dir/size-50", "tree/link")
    os.symlink("../../outside", "tree/out")
    os.symlink("x" * 200, "tree/long")
    os.link("tree/dir/size-50", "tree/dir/deep/hard")
    os.mkfifo("tree/fifo")
    for name in ("tree/dir/size-1", "tree/dir"):
        os.setxattr(name, "user.small", b"value")
        os.setxattr(name, "user.large", b"v" * 600)
    subprocess.run(["setfacl", "-m", "u:12:r-x,g:7:rw", "tree/dir/size-150"], check=True)


def make_image(name, options, kib):
    image = name + ".img"
    subprocess.run(["mke2fs", "-q", "-F", "-N", "400", "-d", "tree", *options.split(), image, f"{kib}k"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    commands = []
    if name == "revision0":
        pass
    elif name in ("ext2", "ext4"):
        # mke2fs makes no index; e2fsck does.
        subprocess.run(["e2fsck", "-fyD", image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    elif name == "ea_inode":
        with open("value", "wb") as f:
            f.write(b"a large value of an attribute " * 100)
        commands = ["ea_set -f value /link user.large", "ea_set -f value /fifo user.large"]
    elif name == "encrypt":
        commands = ["set_inode_field /dir flags 0x80800", "set_inode_field /dir/size-1000 flags 0x80800",
                    "set_inode_field /many flags 0x40081000"]
    elif name.startswith("unclean"):
        # A transaction that takes the first blocks of a directory and of an inode table from the log, one that revokes.
        def ask(request):
            return subprocess.run(["debugfs", "-R", request, image], capture_output=True, text=True, check=True).stdout
        block = int(ask("bmap /many 0"))
        table = int(re.search(r"inode table at (\d+)", ask("show_super_stats")).group(1))
        with open(image, "rb") as f, open("log-dir", "wb") as a, open("log-table", "wb") as b:
            f.seek(block * 1024)
            a.write(f.read(1024).replace(b"name", b"NAME"))
            f.seek(table * 1024)
            b.write(f.read(3 * 1024))
        commands = ["jo", f"jw -b {block} log-dir", f"jw -b {table},{table + 1},{table + 2} log-table", f"jw -r {block}", "jc"]
    if commands:
        with open("commands", "w") as f:
            f.write("\n".join(commands) + "\n")
        subprocess.run(["debugfs", "-w", "-f", "commands", image], check=True, capture_output=True)
    return image


def metadata_of(bytes_):
    """The places of what is not zero, without the contents of files."""
    places = []
    for at in range(0, len(bytes_), 1024):
        block = bytes_[at:at + 1024]
        if block.count(0) == 1024 or DATA in block[:2 * len(DATA)] or block.startswith(DATA[:10]):
            continue
        places += [at + i for i, b in enumerate(block) if b]
    return places


def corrupt(bytes_, places, dice):
    """One to four corruptions: a bit, a byte, a number, or a stretch of something else."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at = dice.choice(places)
        if dice.random() < 0.3:
            at = min(at + dice.randrange(-8, 9), len(bytes_) - 1) if at > 8 else at
        kind = dice.randrange(6)
        if kind <= 1:
            bytes_[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            bytes_[at] = dice.randrange(256)
        elif kind == 3:
            size = dice.choice((2, 4))
            at -= at % size
            value = dice.choice((0, 1, 2, 0x7f, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                 dice.randrange(4096), dice.randrange(1 << 32)))
            bytes_[at:at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        elif kind == 4:
            other = dice.choice(places)
            size = min(dice.choice((4, 8, 12, 16, 128)), len(bytes_) - max(at, other))
            bytes_[at:at + size] = bytes_[other:other + size]
        else:
            size = min(dice.randrange(1, 16), len(bytes_) - at)
            bytes_[at:at + size] = bytes(size)


def spawn(words, out, err, sanitized):
    """A program's status, or what else became of it. To fork without a preexec_fn is many times cheaper."""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    resource.prlimit(child.pid, resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    if not sanitized:
        resource.prlimit(child.pid, resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    try:
        return child.wait(WALL_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return "no end"


# Name, arguments ("I" the broken image, "S" the sound one), whether what it prints is for people, and its statuses.
VERBS = [
    ("ls", ["ls", "-lRai", "I"], True, (0, 1)),
    ("find", ["find", "--json", "I"], True, (0, 1)),
    ("find-size", ["find", "I", "-type", "f", "-size", "+1"], True, (0, 1)),
    ("du", ["du", "I"], True, (0, 1)),
    ("tree", ["tree", "I"], True, (0, 1)),
    ("df", ["df", "--json", "I"], True, (0, 1)),
    ("info", ["info", "I"], True, (0, 1)),
    ("stat", ["stat", "I:/dir/size-150", "I:/pieces", "I:/many", "I:/long", "I:/fifo"], True, (0, 1)),
    ("stat-json", ["stat", "--json", "I:/dir", "I:/link"], True, (0, 1)),
    ("cat", ["cat", "I:/pieces", "I:/dir/size-9000", "I:/dir/deep/hard", "I:/far"], False, (0, 1)),
    ("raw", ["cat", "--no-replay", "I:/dir/size-9000"], False, (0, 1)),
    ("tar", ["tar", "-o", "target/t.tar", "I"], True, (0, 1)),
    ("manifest", ["manifest", "I"], True, (0, 1)),
    ("manifest-json", ["manifest", "--format", "json", "I"], True, (0, 1)),
    ("cp", ["cp", "-r", "I:/", "target/copy"], True, (0, 1)),
    ("cp-p", ["cp", "-rp", "I:/dir", "I:/many", "I:/out", "target"], True, (0, 1)),
    ("diff", ["diff", "--content", "I", "S"], True, (0, 1, 2)),
    ("diff-json", ["diff", "--json", "S", "I"], True, (0, 1, 2)),
    ("pack", ["pack", "-q", "-o", "target/new.img", "I"], True, (0, 1)),
    ("pack-ext2", ["pack", "-q", "-o", "target/new.img", "--fs", "ext2", "--block-size", "1024", "I"], True, (0, 1)),
]


def control_characters(text):
    return re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text)


def snapshot():
    found = []
    for where, folders, files in os.walk("."):
        if "target" in folders:
            folders.remove("target")
        found += [(os.path.join(where, f), os.lstat(os.path.join(where, f)).st_size) for f in folders + files]
    return sorted(found)


def run(rootlet, verb, image, sound, sanitized):
    """Has one verb look at the image; yields what is wrong with how it did that."""
    name, words, for_people, statuses = verb
    words = [re.sub("^I", "broken.img", re.sub("^S$", sound, w)) if w[0] in "IS" else w for w in words]
    shutil.rmtree("target", ignore_errors=True)
    os.mkdir("target")
    with open("out", "wb") as out, open("err", "wb") as err:
        status = spawn([rootlet, *words], out, err, sanitized)
    # A file with holes may be of any size.
    taken = os.stat("out").st_blocks * 512
    with open("out", "rb") as f:
        out = f.read(OUTPUT_MAX)
    with open("err", "rb") as f:
        err = f.read(OUTPUT_MAX)
    if status not in statuses:
        yield f"status {status}"
    if status == 1 and name[:4] != "diff" and not err:
        yield "fails without a word"
    if b"Sanitizer" in err or b"runtime error" in err:
        yield "a sanitizer's report: " + err.decode(errors="replace")[:3000]
    if taken >= OUTPUT_MAX or len(err) > 1 << 20:
        yield "a flood"
    if control_characters(err) or (for_people and control_characters(out)):
        yield "control characters"
    if any(not line.startswith(b"rootlet: ") for line in err.splitlines()):
        yield "not a message: " + repr(err[:200])
    if "json" in " ".join(words) and for_people:
        try:
            for line in out.splitlines() if name != "df" else [out] if out else []:
                json.loads(line)
        except ValueError as e:
            yield f"no JSON: {e}"
    if name[:4] == "pack" and status == 0:
        judged = subprocess.run(["e2fsck", "-fn", "target/new.img"], capture_output=True, text=True)
        if judged.returncode:
            yield "packed, and not sound: " + judged.stdout
    if name[:4] == "pack" and status == 1 and os.listdir("target"):
        yield "litter: " + " ".join(os.listdir("target"))


def main():
    rootlet = sys.argv[1]
    count, seed, first = [int(a) for a in sys.argv[2:]] + [150, 1, 0][len(sys.argv) - 2:]
    with open(rootlet, "rb") as f:
        sanitized = b"__asan_init" in f.read()
    os.environ.update(LC_ALL="C", TZ="UTC")
    os.environ.setdefault("ASAN_OPTIONS", "hard_rss_limit_mb=1200:max_allocation_size_mb=600")
    make_tree()
    sound = {}
    for name, options, kib in KINDS:
        with open(make_image(name, options, kib), "rb") as f:
            bytes_ = f.read()
        sound[name] = (bytes_, metadata_of(bytes_))
    wrong = 0
    os.mkdir("outside")
    os.mkdir("target")
    before = None
    for n in range(first, first + count):
        if n > first and n % 1000 == 0:
            print(f"{n}: {wrong} troubles so far", flush=True)
        dice = random.Random(f"{seed} {n}")
        kind = KINDS[n % len(KINDS)][0]
        bytes_, places = sound[kind]
        bytes_ = bytearray(bytes_)
        corrupt(bytes_, places, dice)
        with open("broken.img", "wb") as f:
            f.write(bytes_)
        os.chmod("broken.img", 0o444)
        for verb in dice.sample(VERBS, 4):
            for name in ("out", "err"):
                open(name, "wb").close()
            before = snapshot()
            troubles = list(run(rootlet, verb, "broken.img", kind + ".img", sanitized))
            for name in ("out", "err"):
                open(name, "wb").close()
            if snapshot() != before:
                troubles.append("something was written outside of the target")
            with open("broken.img", "rb") as f:
                if f.read() != bytes_:
                    troubles.append("the image was changed")
            for trouble in troubles[:2]:
                wrong += 1
                shutil.copyfile("broken.img", f"failed-{n}")
                print(f"{n} ({kind}): {' '.join(verb[1])}: {trouble}", flush=True)
        os.chmod("broken.img", 0o644)
    print(f"{count} corruptions, {wrong} troubles")
    return wrong > 0


sys.exit(main())
