#!/usr/bin/env bats
# COW files of UML: read through, made, compared, committed, rebased, compacted.
load helper

# base.ext4, and changed.ext4: what the disk is when a guest has written to it.
make_disks() {
    mkdir src
    echo hello >src/greeting
    seq 20000 >src/numbers
    rootlet pack -q -o base.ext4 --free 4M --uuid 5e24f0e8-2f0a-4d1b-8a52-6b1f3d1f0b11 src
    touch -d @1700000000 base.ext4
    cp base.ext4 changed.ext4
    debugfs -w -R 'rm /greeting' changed.ext4 2>/dev/null
    echo new >src/new
    debugfs -w -R 'write src/new new' changed.ext4 2>/dev/null
}

# Writes a COW file of a version (1, 1b: big endian, 2, 3, padded) which makes changed.ext4 of base.ext4.
# SECTOR and ALIGN are its sizes; every bit of EXTRA sectors at the front is set too, as TRIM does.
write_cow() {
    python3 - "$1" "$2" "${3:-base.ext4}" "${4:-changed.ext4}" <<'END'
import os, struct, sys
version, path, base, changed = sys.argv[1:]
ss, align, extra = (int(os.environ.get(k, d)) for k, d in (("SECTOR", 512), ("ALIGN", 4096), ("EXTRA", 0)))
old, new = open(base, "rb").read(), open(changed, "rb").read()
size, mtime = len(old), int(os.stat(base).st_mtime)
name = os.path.realpath(base).encode()
up = lambda n, to: -(-n // to) * to
sectors = -(-size // ss)
if version in ("1", "1b"):
    e = "<" if version == "1" else ">"
    head = (b"MOOO" if version == "1" else b"OOOM") + struct.pack(e + "I256sIQi", 1, name, mtime, size, ss)
elif version == "2":
    head = b"OOOM" + struct.pack(">I4096sIQi", 2, name, mtime, size, ss)
elif version == "3":
    head = b"OOOM" + struct.pack(">IIQIII4096s", 3, mtime, size, ss, align, 0, name)
else:
    head = b"OOOM" + struct.pack(">II4xQIII4096s4x", 3, mtime, size, ss, align, 0, name)
if version in ("3", "padded"):
    bitmap_at = up(len(head), align)
    data_at = up(bitmap_at + -(-sectors // 8), align)
else:
    bitmap_at = len(head)
    data_at = up(bitmap_at + sectors // 8, ss)
with open(path, "wb") as f:
    bits = bytearray(-(-sectors // 8))
    for i in range(sectors):
        a = slice(i * ss, min((i + 1) * ss, size))
        if old[a] != new[a] or i < extra:
            bits[i // 8] |= 1 << i % 8
            f.seek(data_at + i * ss)
            f.write(new[a])
    f.seek(0)
    f.write(head)
    f.seek(bitmap_at)
    f.write(bits)
    f.truncate(data_at + size)
END
}

@test "every version is read through to its backing file" {
    make_disks
    for version in 1 1b 2 3 padded; do
        write_cow $version v.cow
        cp v.cow before
        rootlet diff -q changed.ext4 v.cow
        [ "$(rootlet cat v.cow:/new)" = new ]
        rootlet cat v.cow:/numbers | cmp - src/numbers
        run --separate-stderr rootlet cat v.cow:/greeting
        failed 1 "No such file"
        rootlet cow info --json v.cow >info.json
        case $version in padded) number=3 ;; *) number=${version%b} ;; esac
        grep -q "\"version\": $number" info.json
        rootlet cow commit -q -o merged v.cow
        cmp merged changed.ext4
        cmp v.cow before
    done
    # The magic may be in the other byte order, and then the version is, as UML reads it.
    write_cow 3 v.cow
    printf 'MOOO\3\0\0\0' | dd of=v.cow bs=8 conv=notrunc status=none
    rootlet diff -q changed.ext4 v.cow
    SECTOR=1024 ALIGN=512 write_cow 3 v.cow
    rootlet cow commit -q -o merged v.cow
    cmp merged changed.ext4
    SECTOR=4096 write_cow 2 v.cow
    rootlet cow commit -q -o merged v.cow
    cmp merged changed.ext4
    # A disk that ends within a sector.
    head -c 1000001 base.ext4 >odd
    head -c 1000000 changed.ext4 >odd2
    printf x >>odd2
    for version in 1 2 3 padded; do
        write_cow $version odd.cow odd odd2
        rootlet cow commit -q -o merged odd.cow
        cmp merged odd2
    done
}

@test "all that looks into images takes COW files, and pack does" {
    make_disks
    write_cow 3 v.cow
    for verb in ls "ls -lR" tree du df find tar manifest info; do
        rootlet $verb changed.ext4 >a
        rootlet $verb v.cow >b
        sed -i 's/changed.ext4/v.cow/' a
        [ "$verb" = info ] || cmp a b || { diff -a a b; return 1; }
    done
    rootlet stat v.cow:/new | grep -q '4'
    rootlet cp -r v.cow:/ out
    rootlet cp -r changed.ext4:/ out2
    diff -r out out2
    rootlet pack -q -o packed.ext4 v.cow
    rootlet pack -q -o packed2.ext4 changed.ext4
    rootlet diff packed.ext4 packed2.ext4
    fsck packed.ext4
    run rootlet diff base.ext4 v.cow
    [ "$status" = 1 ]
    grep -q 'D /greeting' <<<"$output"
}

@test "a COW file is followed only if its name or an option says so" {
    make_disks
    write_cow 3 v.cow
    mv v.cow v.img
    run --separate-stderr rootlet ls v.img
    failed 1 "v.img: open: a COW file of User Mode Linux, whose name does not end in .cow"
    run --separate-stderr rootlet pack -o x.ext4 v.img
    failed 1 "whose name does not end in .cow"
    rootlet ls --cow v.img | grep -qx new
    mv base.ext4 moved.ext4
    run --separate-stderr rootlet ls --cow v.img
    failed 1 "v.img: open: its backing file"
    rootlet ls --backing moved.ext4 v.img | grep -qx new
    run --separate-stderr rootlet ls --cow moved.ext4
    failed 1 "not a COW file"
    # A raw disk stays one, though its boot block has such a header.
    dd if=v.img of=moved.ext4 bs=512 count=1 conv=notrunc status=none
    rootlet ls moved.ext4 | grep -qx greeting
    # A disk that happens to be called so.
    cp changed.ext4 raw.cow
    rootlet ls raw.cow | grep -qx new
}

@test "a backing file that changed is told, and --force reads on" {
    make_disks
    write_cow 3 v.cow
    touch -d @1700000005 base.ext4
    run --separate-stderr rootlet ls v.cow
    failed 1 "has changed since: its time is 1700000005, in the header it is 1700000000 (--force reads on)"
    rootlet ls --force v.cow | grep -qx new
    rootlet cow info v.cow | grep -q 'state *.*has changed since'
    touch -d @1700000000.9 base.ext4
    rootlet ls v.cow | grep -qx new
    truncate -s +512 base.ext4
    touch -d @1700000000 base.ext4
    run --separate-stderr rootlet ls v.cow
    failed 1 "is another one: it has"
    rm base.ext4
    run --separate-stderr rootlet ls --force v.cow
    failed 1 "base.ext4: No such file or directory"
    rootlet cow info v.cow | grep -q 'state *.*No such file'
    mkfifo base.ext4
    run --separate-stderr timeout 10 "$ROOTLET" ls --force v.cow
    failed 1 "not a regular file or a block device"
}

@test "broken headers are refused, each with its reason" {
    make_disks
    write_cow 3 good.cow
    broken() { # AT BYTES REASON
        cp good.cow bad.cow
        printf "$2" | dd of=bad.cow bs=1 seek="$1" conv=notrunc status=none
        run --separate-stderr rootlet ls bad.cow
        failed 1 "$3"
    }
    broken 20 '\0\0\0\0' "impossible sector size"
    broken 20 '\0\0\0\1' "impossible sector size"
    broken 24 '\0\0\0\0' "impossible alignment"
    broken 24 '\377\0\0\0' "impossible alignment"
    broken 28 '\0\0\0\1' "a format that is not known"
    broken 12 '\177\377\377\377\377\377\377\377' "impossible size"
    broken 12 '\0\0\0\0\0\0\0\0' "impossible size"
    broken 12 '\0\0\0\77\0\0\0\0' "its bitmap is not all there"
    cp good.cow bad.cow
    printf '/%.0s' $(seq 4096) | dd of=bad.cow bs=1 seek=32 conv=notrunc status=none
    run --separate-stderr rootlet ls bad.cow
    failed 1 "has no end"
    head -c 4000 good.cow >bad.cow
    run --separate-stderr rootlet ls bad.cow
    failed 1 "its COW header is cut short"
    head -c 8200 good.cow >bad.cow
    run --separate-stderr rootlet ls bad.cow
    failed 1 "its bitmap is not all there"
    # Data that is cut off is seen when it is read, and nothing else is.
    head -c 30000 good.cow >bad.cow
    run --separate-stderr rootlet ls -l bad.cow
    [ "$status" = 1 ]
}

@test "create makes what uml_mkcow makes" {
    make_disks
    ln -s . link
    rootlet cow create -q v.cow link/base.ext4
    # A header of 8192 bytes; a bit for each sector, and that up to a page's end.
    size=$(stat -c %s base.ext4)
    [ "$(stat -c %s v.cow)" = $((size + 8192 + (size / 4096 + 4095) / 4096 * 4096)) ]
    [ "$(stat -c %b v.cow)" -le 32 ]
    rootlet diff -q base.ext4 v.cow
    rootlet cow info --json v.cow | grep -q "\"backing\": \"$(realpath .)/base.ext4\""
    if command -v uml_mkcow >/dev/null; then
        uml_mkcow theirs.cow "$PWD/base.ext4"
        cmp theirs.cow v.cow
    fi
    run --separate-stderr rootlet cow create v.cow base.ext4
    failed 1 "v.cow: create: it exists already (--force replaces it)"
    rootlet cow create --force -q v.cow base.ext4
    rootlet cow create -q --backing base.ext4 w.cow
    cmp v.cow w.cow
    run --separate-stderr rootlet cow create base.ext4 x.cow
    failed 2 "the COW file comes first"
    run --separate-stderr rootlet cow create x.cow v.cow
    failed 1 "it is a COW file itself"
    run --separate-stderr rootlet cow create --force base.ext4 base.ext4
    failed 1 "it is the backing file"
    run --separate-stderr rootlet cow create - base.ext4
    failed 1 "standard output: create: a COW file is made in place (./- is a file of that name)"
    : >empty
    run --separate-stderr rootlet cow create x.cow empty
    failed 1 "it is empty"
    run --separate-stderr rootlet cow create x.cow missing
    failed 1 "missing: No such file or directory"
    run --separate-stderr rootlet cow frob x.cow
    failed 2 "not 'frob'"
    run --separate-stderr rootlet cow
    failed 2 "create, info, diff"
    only base.ext4 changed.ext4 src link v.cow w.cow empty $(ls theirs.cow 2>/dev/null)
}

@test "diff lists the sectors that differ, and whose they are" {
    make_disks
    EXTRA=5000 write_cow 3 v.cow
    rootlet cow diff v.cow >list
    grep -Eq ' /new$' list
    grep -Eq 'superblock of group 0$' list
    grep -Eq 'inodes of group 0$' list
    refute grep -q numbers list
    # Exactly those sectors whose bytes differ.
    cmp -l base.ext4 changed.ext4 | awk '{ s[int(($1 - 1) / 512)] = 1 } END { for (i in s) print i }' | sort -n >wanted
    awk '{ split($1, a, "-"); for (i = a[1]; i <= a[2]; i++) print i }' list | sort -nu >got
    cmp wanted got
    rootlet cow diff --json v.cow >list.json
    python3 - <<'END'
import json
got = set()
for c in json.load(open("list.json"))["changes"]:
    got |= set(range(c["first_sector"], c["last_sector"] + 1))
    assert c["bytes"] <= (c["last_sector"] - c["first_sector"] + 1) * 512
assert got == {int(l) for l in open("wanted")}
assert any(c.get("path") == "/new" and c["owner"] == "file" for c in json.load(open("list.json"))["changes"])
END
    # A disk without a file system.
    head -c 100000 /dev/urandom >raw
    { head -c 50000 raw; head -c 50000 /dev/urandom; } >raw2
    write_cow 3 r.cow raw raw2
    rootlet cow diff r.cow 2>err | grep -q -- '-$'
    grep -q 'no file system' err
}

@test "commit writes the changes, empties the COW file and changes nothing else" {
    make_disks
    EXTRA=1000 write_cow 3 v.cow
    rootlet cow commit v.cow 2>err
    grep -q 'v.cow: committed, ' err
    cmp base.ext4 changed.ext4
    rootlet diff -q changed.ext4 v.cow
    rootlet cow info v.cow | grep -q 'marked *0 in 0'
    rootlet cow info v.cow | grep -q 'state *good'
    # Nothing to write: the backing file keeps its time.
    touch -d @1700000000 base.ext4
    EXTRA=100 write_cow 3 w.cow changed.ext4 changed.ext4
    touch -d @1600000000 changed.ext4
    EXTRA=100 write_cow 3 w.cow changed.ext4 changed.ext4
    rootlet cow commit -q w.cow
    [ "$(stat -c %Y changed.ext4)" = 1600000000 ]
    rootlet cow info w.cow | grep -q 'marked *0 in 0'
    for version in 1 2 padded; do
        cp changed.ext4 other.ext4
        printf 'other' | dd of=other.ext4 bs=1 seek=512 conv=notrunc status=none
        write_cow $version w.cow changed.ext4 other.ext4
        rootlet cow commit -q w.cow
        cmp changed.ext4 other.ext4
        rootlet ls w.cow >/dev/null
        printf 'again' | dd of=other.ext4 bs=1 seek=512 conv=notrunc status=none
        write_cow $version w.cow changed.ext4 other.ext4
        rootlet cow commit -q w.cow
        cmp changed.ext4 other.ext4
    done
}

@test "commit -o writes the disk anywhere but over the files that it is in" {
    make_disks
    write_cow 3 v.cow
    cp -p base.ext4 kept.ext4
    cp -p v.cow kept.cow
    ln -s base.ext4 link
    for output in base.ext4 ./base.ext4 link; do
        run --separate-stderr rootlet cow commit -o $output v.cow
        failed 1 "$output: write: it is the backing file"
    done
    run --separate-stderr rootlet cow commit -o v.cow v.cow
    failed 1 "v.cow: write: it is the COW file itself"
    refute rootlet cow commit -o - v.cow 1<>base.ext4 2>err
    grep -q "standard output: write: it is the backing file" err
    cmp base.ext4 kept.ext4
    cmp v.cow kept.cow
    rootlet cow commit -q -o - v.cow | cmp - changed.ext4
    run --separate-stderr bash -c '"$1" cow commit -o - v.cow >/dev/full' - "$ROOTLET"
    failed 1 "standard output: write: No space left on device"
    [ ! -e - ]
}

@test "commit, rebase and compact leave alone what a guest has open" {
    make_disks
    write_cow 3 v.cow
    hold v.cow
    for verb in commit compact; do
        run --separate-stderr rootlet cow $verb v.cow
        [ "$status" = 1 ]
        grep -Eq 'v.cow: change: in use by process [0-9]+ \(perl\)' <<<"$stderr"
    done
    run --separate-stderr rootlet ls v.cow
    [ "$status" = 0 ]
    grep -q "v.cow: in use by process [0-9]* (perl)" <<<"$stderr"
    kill $holder
    rm locked
    hold base.ext4
    run --separate-stderr rootlet cow commit v.cow
    [ "$status" = 1 ]
    grep -Eq 'base.ext4: change: in use by process [0-9]+ \(perl\)' <<<"$stderr"
    run --separate-stderr rootlet ls v.cow
    grep -q "base.ext4: in use by process [0-9]* (perl)" <<<"$stderr"
    kill $holder
}

@test "rebase and compact keep the disk and drop what is the same" {
    make_disks
    EXTRA=4000 write_cow 3 v.cow
    cp v.cow w.cow
    rootlet cow compact -q v.cow
    [ "$(stat -c %b v.cow)" -lt "$(stat -c %b w.cow)" ]
    rootlet cow commit -q -o merged v.cow
    cmp merged changed.ext4
    cp v.cow again.cow
    rootlet cow compact -q v.cow
    cmp v.cow again.cow
    # Onto another backing file: another version of the disk.
    cp base.ext4 third.ext4
    echo third >src/third
    debugfs -w -R 'write src/third third' third.ext4 2>/dev/null
    rootlet cow rebase -q w.cow third.ext4
    rootlet cow info w.cow | grep -q 'third.ext4'
    rootlet cow commit -q -o merged w.cow
    cmp merged changed.ext4
    # Onto the disk itself nothing is left.
    rootlet cow rebase -q w.cow changed.ext4
    rootlet cow info w.cow | grep -q 'marked *0 in 0'
    # Moved, and touched.
    mkdir elsewhere
    mv base.ext4 elsewhere/
    touch elsewhere/base.ext4
    run --separate-stderr rootlet cow rebase v.cow elsewhere/base.ext4
    failed 1 "No such file"
    head -c 1000448 changed.ext4 >short
    run --separate-stderr rootlet cow rebase --force --header-only v.cow short
    failed 1 "short has 1000448 bytes, the disk has"
    rootlet cow rebase -q --header-only v.cow elsewhere/base.ext4
    touch -d @1650000000 elsewhere/base.ext4
    run --separate-stderr rootlet cow rebase v.cow elsewhere/base.ext4
    failed 1 "has changed since"
    rootlet cow rebase -q --header-only v.cow elsewhere/base.ext4
    run --separate-stderr rootlet cow compact --header-only v.cow
    failed 2 "--header-only is for rebase"
    rootlet cow commit -q -o merged v.cow
    cmp merged changed.ext4
    run --separate-stderr rootlet cow rebase v.cow short
    failed 1 "short has 1000448 bytes, the disk has"
    # Older forms become version 3.
    write_cow 1 old.cow elsewhere/base.ext4
    rootlet cow compact -q old.cow
    rootlet cow info old.cow | grep -q 'version *3'
    rootlet cow commit -q -o merged old.cow
    cmp merged changed.ext4
}

@test "a large disk costs what is in it" {
    truncate -s 4T huge
    touch -d @1700000000 huge
    rootlet cow create -q h.cow huge
    [ "$(stat -c %b h.cow)" -le 32 ]
    timeout 20 "$ROOTLET" cow diff h.cow 2>/dev/null >out
    [ ! -s out ]
    timeout 20 "$ROOTLET" cow compact -q h.cow
    timeout 20 "$ROOTLET" cow commit -q h.cow
    timeout 20 "$ROOTLET" cow commit -q -o merged h.cow
    [ "$(stat -c %s merged)" = $((4 << 40)) ]
}

# A commit in which one call after the other fails, or that is cut short there: the disk is the same, and the next one
# finishes it.
@test "a commit that fails at any call loses nothing" {
    [ -n "${ROOTLET_FAULTY:-}" ] || skip "no ROOTLET_FAULTY: make check sets it"
    make_disks
    EXTRA=1000 write_cow 3 good.cow
    cp -p base.ext4 kept.ext4
    for error in EIO ENOSPC; do
        failures=0
        for ((at = 1; at < 200; at++)); do
            cp -p kept.ext4 base.ext4
            cp good.cow v.cow
            : >hit
            status=0
            FAULT_AT=$at FAULT_ERROR=$error FAULT_LOG=$PWD/hit "$ROOTLET_FAULTY" cow commit -q v.cow 2>err || status=$?
            [ "$status" -le 1 ]
            rootlet cow commit -q -o merged v.cow
            cmp merged changed.ext4 || { echo "call $at ($(cat hit)): another disk"; return 1; }
            if [ $status = 1 ]; then
                failures=$((failures + 1))
                [ "$(wc -l <err)" = 1 ]
                rootlet cow commit -q v.cow
            fi
            cmp base.ext4 changed.ext4
            rootlet diff -q changed.ext4 v.cow
            [ -s hit ] || break
        done
        [ "$failures" -gt 8 ]
    done
}

@test "a commit that is killed loses nothing" {
    head -c 60000000 /dev/urandom >base
    head -c 60000000 /dev/urandom >changed
    touch -d @1700000000 base
    write_cow 3 v.cow base changed
    for delay in 0.02 0.04 0.06 0.08 0.1; do
        timeout -s KILL $delay "$ROOTLET" cow commit -q v.cow 2>/dev/null || :
        rootlet cow commit -q -o merged v.cow
        cmp merged changed
    done
    rootlet cow commit -q v.cow
    cmp base changed
    rootlet cow info v.cow | grep -q 'state *good'
}
