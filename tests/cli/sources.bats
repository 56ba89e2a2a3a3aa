#!/usr/bin/env bats
# Sources together, and what a hostile one costs: memory, disk and time are bounded by limits that are told.
load helper

# A tar from a few lines of Python, to which entry(name, data, fields...) adds.
make_tar() {
    python3 - "$1" <<END
import io, sys, tarfile
t = tarfile.open(sys.argv[1], "w:gz" if sys.argv[1].endswith("gz") else "w", format=tarfile.PAX_FORMAT)
def entry(name, data=b"", **fields):
    e = tarfile.TarInfo(name)
    e.size = len(data)
    for key, value in fields.items():
        setattr(e, key, value)
    t.addfile(e, io.BytesIO(data))
$2
t.close()
END
}

@test "a name leads through symlinks that are there, whatever kind of source it comes from" {
    mkdir -p base/usr/lib over/lib/modules over/etc
    ln -s usr/lib base/lib
    echo ld >base/usr/lib/ld.so
    echo a >over/lib/modules/a
    echo b >over/etc/b
    rootlet pack -o over.ext2 --fs ext2 over
    tar -C over -cf over.tar .
    for source in over over.tar over.ext2; do
        rootlet pack -o out.ext4 base "$source"
        rootlet ls -R out.ext4 >"list-${source##*.}"
        [ "$(rootlet cat out.ext4:/usr/lib/modules/a)" = a ]
        rootlet ls -l out.ext4:/ | grep -q 'lib -> usr/lib'
        rm out.ext4
    done
    diff list-over list-tar
    diff list-over list-ext2
    # Also the place for a source.
    rootlet pack -o at.ext4 base --at /lib/modules over/lib/modules
    [ "$(rootlet cat at.ext4:/usr/lib/modules/a)" = a ]
    # A symlink that leads to no directory gives way, in an image too.
    mkdir -p odd
    ln -s nowhere odd/lib
    rootlet pack -o odd.ext4 odd over.ext2
    [ "$(rootlet cat odd.ext4:/lib/modules/a)" = a ]
    fsck odd.ext4
}

@test "what a folder goes over belongs to root afterwards, as all that it brings" {
    mkdir one two
    tar --owner=1000 --group=1000 -C one -cf one.tar .
    rootlet pack -o a.ext4 one.tar two
    debugfs -R 'stat /' a.ext4 2>/dev/null | grep -qE 'User: +0 +Group: +0 '
}

@test "standard input can be read once, whatever reads it" {
    for words in "devtable:- devtable:-" "mtree:- -" "oci-archive:- -" "--exclude-from - devtable:-"; do
        run -2 --separate-stderr rootlet pack -o a.ext4 $words </dev/null
        failed 2 "standard input can be read once"
    done
    only
}

@test "a pipe that does not end is cut off at --max-data, before it fills the disk" {
    (printf 'PK\3\4'; head -c 60M /dev/zero) >zip
    run -1 --separate-stderr bash -c "cat zip | (ulimit -f 8192; exec $ROOTLET pack -o a.ext4 --max-data 1M -)"
    failed 1 "more data than --max-data allows to unpack"
    only zip
}

@test "attributes that do not fit into memory are refused; those that are alike count once" {
    make_tar same.tar.gz '
for i in range(4000): entry("f%d" % i, pax_headers={"SCHILY.xattr.user.a": "A" * 40000})'
    make_tar other.tar.gz '
for i in range(4000): entry("f%d" % i, pax_headers={"SCHILY.xattr.user.a": str(i) + "A" * 40000})'
    make_tar many.tar '
entry("f", pax_headers={"SCHILY.xattr.user.%06d" % i: "" for i in range(20000, 0, -1)})'
    rootlet pack -o a.ext4 --features ea_inode same.tar.gz
    fsck a.ext4
    run -1 --separate-stderr rootlet pack -o b.ext4 --features ea_inode other.tar.gz
    failed 1 "user.a: too many attributes: their values do not fit into memory"
    run -1 --separate-stderr rootlet pack -o b.ext4 many.tar
    failed 1 "more than 1024 attributes"
    [ ! -e b.ext4 ]
}

@test "names that are made again and again count as entries" {
    for i in 1 2 3 4 5; do echo '/x c 666 0 0 1 0 0 1 1000'; done >table
    run -1 --separate-stderr rootlet pack -o a.ext4 --max-entries 4000 devtable:table
    failed 1 "--max-entries allows more"
    rootlet pack -o a.ext4 --max-entries 6000 devtable:table
}

@test "long lines and many capabilities take no time worth speaking of" {
    (printf '#mtree\nf type=file \\\n'; yes '\' | head -n 1000000; echo) >lines.mtree
    timeout 20 "$ROOTLET" pack -o a.ext4 mtree:lines.mtree
    (echo '/f f 755 0 0'; yes '|xattr cap_chown+ep' | head -n 50000) >table
    mkdir t
    echo x >t/f
    run -1 --separate-stderr timeout 20 "$ROOTLET" pack -o b.ext4 t devtable:table
    failed 1 "too many capabilities for one file"
}

@test "symlinks that lead on and on are given up, quickly" {
    make_tar deep.tar '
entry("a", type=tarfile.DIRTYPE, mode=0o755)
for i in range(38): entry("s%d" % i, type=tarfile.SYMTYPE, linkname="a/../" * 800 + ("s%d" % (i + 1) if i < 37 else "a"))
for i in range(2000): entry("s0/f%d" % i)'
    run -1 --separate-stderr timeout 20 "$ROOTLET" pack -o a.ext4 deep.tar
    failed 1 "too many symlinks on the way"
}

@test "an index of a container image that repeats itself is refused" {
    mkdir -p oci/blobs/sha256
    python3 - <<'END'
import hashlib, json
sub = json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"a%d" % i: "x" * 50 for i in range(15000)}}).encode()
digest = hashlib.sha256(sub).hexdigest()
open("oci/blobs/sha256/" + digest, "wb").write(sub)
one = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + digest, "size": len(sub)}
open("oci/index.json", "w").write(json.dumps({"schemaVersion": 2, "manifests": [one] * 60}))
open("oci/oci-layout", "w").write('{"imageLayoutVersion": "1.0.0"}')
END
    run -1 --separate-stderr timeout 20 "$ROOTLET" pack -o a.ext4 oci:oci
    failed 1 "more than 8 MiB of indexes and manifests"
}

@test "a device number that Linux does not have, and a size that is not that of the data" {
    make_tar device.tar 'entry("d", type=tarfile.CHRTYPE, devmajor=4097, devminor=3)'
    run -1 --separate-stderr rootlet pack -o a.ext4 device.tar
    failed 1 "a device number that Linux does not have"
    for size in 100000 0; do
        make_tar size.tar "entry('f', b'0123456789', pax_headers={'SCHILY.realsize': '$size'})"
        gzip -kf size.tar
        for tar in size.tar size.tar.gz; do
            run -1 --separate-stderr rootlet pack -o a.ext4 "$tar"
            failed 1 "$tar: f: "
        done
    done
}

@test "two bytes in the right place do not make an archive an image" {
    head -c 20000 /dev/urandom >f
    tar -czf a.tar.gz f
    printf '\123\357' | dd of=a.tar.gz bs=1 seek=1080 conv=notrunc status=none
    run -1 --separate-stderr rootlet pack -o a.ext4 a.tar.gz
    refute grep -q superblock <<<"$stderr"
}

@test "the end of a sparse file in a compressed archive is zeros for whoever reads it before it is written" {
    printf hello >f
    truncate -s 1M f
    tar -Sczf a.tar.gz f
    printf 'f type=file sha256=%s\n' "$(sha256sum <f | cut -d' ' -f1)" >spec
    rootlet pack -o a.ext4 a.tar.gz mtree:spec
    rootlet cat a.ext4:/f | cmp - f
}
