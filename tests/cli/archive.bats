#!/usr/bin/env bats
# Archives as sources: what comes out is what a folder with the same files gives; what is bad is refused.
load helper

# A folder, with its owners as root sees them in any archive that is made by make_archive.
make_source() {
    mkdir -p src/etc src/usr/lib src/empty src/many
    echo hello >src/etc/file
    ln src/etc/file src/usr/hard
    ln -s usr/lib src/lib
    ln -s "$(printf 'x%.0s' $(seq 200))" src/long
    mkfifo src/fifo
    head -c 3000000 /dev/urandom >src/large
    : >"src/Grüße, 世界"
    : >"src/$(printf 'n%.0s' $(seq 255))"
    for i in $(seq 300); do echo $i >src/many/$i; done
    chmod 4755 src/etc/file
    chmod 1777 src/empty
    touch -h -d '1950-01-02 03:04:05' src/lib
    touch -d '1999-12-31 23:59:59.123456789' src/large
    setfattr -n user.test -v value src/etc/file 2>/dev/null || :
}

# A tar of one file, "file" with the text "text", that has a line more in its pax header.
pax_tar() {
    perl -e '
        sub entry { my ($name, $type, $data) = @_;
            my $h = pack("a100 a8 a8 a8 a12 a12 a8 a1 a100 a6 a2 a247", $name, "0000644", "0000000", "0000000",
                sprintf("%011o", length $data), "00000000001", " " x 8, $type, "", "ustar", "00", "");
            substr($h, 148, 8) = sprintf("%06o\0 ", unpack("%32C*", $h));
            print $h, $data, "\0" x (-length($data) % 512); }
        sub record { my $r = " $_[0]\n"; my $n = length($r) + 1; $n++ while length($n . $r) > $n; return $n . $r }
        entry("pax", "x", record($ARGV[0]));
        entry("file", "0", "text");
        print "\0" x 1024;' "$1"
}

only_line() {
    failed 1 "$1"
    [ ! -e t.img ]
    only "${@:2}"
}

@test "tar, in every compression, gives the same image as the folder" {
    make_source
    rootlet pack -q -o folder.img src
    fsck folder.img
    tar --posix --xattrs --numeric-owner --owner=0 --group=0 -cf a.tar -C src .
    gzip -k a.tar; bzip2 -k a.tar; xz -k a.tar
    # Several members, as pigz and bgzip make them.
    head -c 1000000 a.tar | gzip >members.gz; tail -c +1000001 a.tar | gzip >>members.gz
    for archive in a.tar a.tar.gz a.tar.bz2 a.tar.xz members.gz; do
        rootlet pack -q -o archive.img $archive
        cmp folder.img archive.img
        rm archive.img
    done
    for archive in a.tar a.tar.gz; do
        rootlet pack -q -o stdin.img - <$archive
        cmp folder.img stdin.img
        rootlet pack -q -o stdin.img - < <(cat $archive)
        cmp folder.img stdin.img
    done
    rootlet pack --plan a.tar.gz >/dev/null
    only_names=$(ls -A | grep -v '^\(src\|.*img\|a\.tar.*\|members\.gz\|fsck.log\)$' || :)
    [ -z "$only_names" ]
}

@test "other formats: cpio, zip, 7z" {
    make_source
    rm src/fifo
    touch -h -d '1999-01-02 03:04:05' src/lib
    for format in newc odc zip 7zip ustar; do
        [ $format != ustar ] || rm "src/$(printf 'n%.0s' $(seq 255))" src/long
        (cd src && LC_ALL=C.UTF-8 bsdtar --format $format -cf ../a.$format *)
        rootlet pack -q -o t.img a.$format
        fsck t.img
        rm -rf out
        mkdir out
        debugfs -R 'rdump / out' t.img 2>/dev/null
        rmdir out/lost+found
        diff -r --no-dereference src out
    done
}

@test "owners, modes and times are the archive's; rules and --owner come after" {
    make_source
    tar --posix --owner=me:70000 --group=us:5 -cf a.tar -C src .
    rootlet pack -q -o t.img --chmod '/etc/file=0600' a.tar
    rootlet ls -l t.img:/etc | grep -q '^-rw-------    2 70000 5 .*1* file$'
    rootlet ls -l t.img:/ | grep -q '^drwxrwxrwt .* 70000 5 .* empty$'
    rootlet ls -l t.img:/ | grep -q '1999-12-31 .* large$'
    rootlet pack -q -o t.img --owner 0:0 --chown 'large=1:2' a.tar
    rootlet ls -l t.img:/ | grep -q ' 1     2 .* large$'
    rootlet ls -l t.img:/ | grep -q ' 0     0 .* empty$'
}

@test "holes, devices, ACLs" {
    mkdir src
    truncate -s 50M src/sparse
    printf end | dd of=src/sparse bs=1 seek=30000000 conv=notrunc status=none
    tar --posix -S -cf a.tar -C src .
    rootlet pack -q -o t.img a.tar
    fsck t.img
    rootlet cat t.img:/sparse | cmp - src/sparse
    [ "$(du -k t.img | cut -f1)" -lt 2000 ]
    printf '%s\n' '#mtree' './null type=char device=native,1,3 mode=0666 uid=0 gid=0 time=1' \
        './sda type=block device=native,8,300 mode=0640 uid=0 gid=6 time=1' >list
    bsdtar --format pax -cf d.tar @list
    rootlet pack -q -o t.img d.tar
    rootlet ls -l t.img:/ | grep -q '^crw-rw-rw- .* 1, *3 .* null$'
    rootlet ls -l t.img:/ | grep -q '^brw-r----- .* 0     6 .*8, *300 .* sda$'
    # As tar --acls writes it.
    pax_tar "SCHILY.acl.access=user::rw-,user:me:r--:70000,group::r--,mask::r--,other::---" >acl.tar
    rootlet pack -q -o t.img acl.tar
    fsck t.img
    debugfs -R 'ea_list /file' t.img 2>/dev/null | grep -q 'system.posix_acl_access'
}

@test "sources go over each other, through symlinks that are in the tree" {
    mkdir -p one/usr/lib two/lib two/usr/lib/old three
    ln -s usr/lib one/lib
    echo 1 >one/usr/lib/a
    echo 2 >two/lib/a
    echo 2 >two/lib/b
    tar -cf two.tar -C two .
    rootlet pack -q -o t.img one two.tar
    fsck t.img
    rootlet ls -l t.img:/ | grep -q ' lib -> usr/lib$'
    [ "$(rootlet cat t.img:/usr/lib/a t.img:/usr/lib/b)" = $'2\n2' ]
    # A file over a folder, and a folder over a file.
    mkdir -p a/x b/y
    echo f >a/y; echo f >b/x; echo g >b/y/g
    tar -cf b.tar -C b .
    rootlet pack -q -o t.img --at /opt a --at /opt b.tar
    [ "$(rootlet cat t.img:/opt/x t.img:/opt/y/g)" = $'f\ng' ]
}

@test "pipes, archives behind one another, holes that end in a block" {
    mkdir -p one two
    echo 1 >one/a; ln -s a one/link; chmod 755 one/a
    echo 2 >two/b
    (cd one && bsdtar --format zip -cf ../one.zip *)
    cat one.zip | rootlet pack -q -o t.img -
    rootlet ls -l t.img:/ | grep -q '^-rwxr-xr-x .* a$'
    rootlet ls -l t.img:/ | grep -q ' link -> a$'
    gzip -k one.zip
    run --separate-stderr rootlet pack -q -o u.img one.zip.gz
    failed 1 "a zip that is compressed as a whole"
    for dir in one two; do
        tar -cf $dir.tar -C $dir .
        (cd $dir && bsdtar --format newc -cf ../$dir.cpio *)
    done
    cat one.tar two.tar | gzip >both.tar.gz
    rootlet pack -q -o t.img both.tar.gz
    [ "$(rootlet cat t.img:/a t.img:/b)" = $'1\n2' ]
    cat one.cpio two.cpio >both.cpio
    run --separate-stderr rootlet pack -q -o u.img both.cpio
    failed 1 "more follows behind the end"
    head -c 5000 /dev/urandom >noise
    run --separate-stderr rootlet pack -q -o u.img noise
    failed 1 "read archive"
    [ ! -e u.img ]
    head -c 512 /dev/urandom >three
    truncate -s 1M three
    tar --posix -S --hole-detection=raw -czf three.tar.gz three
    rootlet pack -q -o t.img three.tar.gz
    fsck t.img
    rootlet cat t.img:/three | cmp - three
}

@test "a signal while it waits for input" {
    mkfifo pipe
    sleep 60 >pipe 3>&- &
    sleeper=$!
    "$ROOTLET" pack -o t.img - <pipe 2>err 3>&- &
    packer=$!
    sleep 0.5
    kill -TERM $packer
    status=0
    wait $packer || status=$?
    kill $sleeper
    [ "$status" = 1 ]
    grep -q 'interrupted by SIGTERM' err
    only err pipe
}

@test "what would replace the place that everything goes to" {
    mkdir in
    ln -s .. in/up
    echo x >in/x
    ln in/x in/y
    tar -cf file.tar -C in up
    tar -rf file.tar --transform 's,^x$,up/opt,' -C in x
    tar -cf link.tar --transform 's,^y$,up/opt,' -C in up x y
    for archive in file.tar link.tar; do
        run --separate-stderr rootlet pack -q -o t.img --at /opt $archive
        failed 1 "up/opt: read archive: it would replace the directory that everything goes to"
    done
    ln -sfn ../.. in/up
    tar -cf top.tar -C in up
    tar -rf top.tar --transform 's,^x$,up/a,' -C in x
    run --separate-stderr rootlet pack -q -o t.img --at /a/b top.tar
    failed 1 "it would replace the directory"
}

@test "bad names and links are refused, with the archive's and the entry's name" {
    mkdir in
    echo x >x; echo x >in/a; ln in/a in/b
    tar -P -cf up.tar -C in ../x
    tar -P -cf middle.tar --transform 's,^a$,d/../../a,' -C in a
    tar -P -cf absolute.tar "$PWD/x"
    tar -cf link.tar -C in a b
    tar --delete -f link.tar a
    ln -s loop in/loop
    tar -cf loop.tar -C in loop
    tar -rf loop.tar --transform 's,^a$,loop/a,' -C in a
    tar -cf file.tar -C in a
    tar -rf file.tar --transform 's,^b$,a/b,;s,^a$,a,' -C in --hard-dereference b
    set -- absolute.tar file.tar in link.tar loop.tar middle.tar up.tar x
    for case in 'up.tar:up.tar: ../x: read archive: a name with ".."' 'middle.tar:read archive: a name with ".."' \
        'absolute.tar:read archive: an absolute name' 'link.tar:link.tar: b: read archive: a hard link to a: it is not there' \
        'loop.tar:too many symlinks' 'file.tar:file.tar: a/b: read archive: something on the way is not a directory'; do
        run --separate-stderr rootlet pack -q -o t.img "${case%%:*}"
        only_line "${case#*:}" "$@"
    done
    # What a symlink leads to stays in the image.
    ln -s ../../../../../../../../etc in/out
    tar -cf out.tar -C in out
    tar -rf out.tar --transform 's,^a$,out/a,' -C in a
    mkdir etc
    rootlet pack -q -o t.img --at /etc etc out.tar
    [ "$(rootlet cat t.img:/etc/a)" = x ]
}

@test "damage, early ends and what is no archive are refused" {
    mkdir src
    head -c 100000 /dev/urandom >src/a
    tar -cf a.tar -C src .
    gzip -k a.tar
    head -c 60000 a.tar >cut.tar
    head -c 60000 a.tar.gz >cut.gz
    rm a.tar.gz
    # Stored blocks, so that nothing but the checksum can tell.
    gzip -1 -k a.tar
    printf 'junk' | dd of=a.tar.gz bs=1 seek=50000 conv=notrunc status=none
    mv a.tar.gz flipped.gz
    pax_tar "GNU.sparse.realsize=600" >claim.tar
    xz -k a.tar
    printf 'junk' | dd of=a.tar.xz bs=1 seek=50000 conv=notrunc status=none
    head -c 5000 /dev/urandom >noise
    : >empty
    printf '#mtree\n./secret type=file content=%s\n' "$PWD/noise" >list
    for case in cut.tar:"ends too early" cut.gz:"read archive" a.tar.xz:"read archive" flipped.gz:"damaged" claim.tar:"its size is not that of its data" noise:"read archive" \
        empty:"empty, and no archive" list:"read archive" gone:"No such file"; do
        run --separate-stderr rootlet pack -q -o t.img "${case%%:*}"
        only_line "${case#*:}" a.tar a.tar.xz claim.tar cut.gz cut.tar empty flipped.gz list noise src
    done
    run --separate-stderr rootlet pack -q -o t.img - <cut.tar
    only_line "-: ./a: read archive" a.tar a.tar.xz claim.tar cut.gz cut.tar empty flipped.gz list noise src
}

@test "a Debian package's data, in any compression, from a file and a pipe" {
    skip_unless "command -v dpkg-deb" dpkg-deb
    mkdir -p pkg/DEBIAN pkg/usr/bin pkg/etc
    printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: me <me@x>\nDescription: x\n' >pkg/DEBIAN/control
    echo tool >pkg/usr/bin/tool
    chmod 4755 pkg/usr/bin/tool
    ln pkg/usr/bin/tool pkg/usr/bin/other
    ln -s tool pkg/usr/bin/link
    head -c 1M /dev/urandom >pkg/etc/data
    for how in none gzip xz zstd; do
        dpkg-deb --root-owner-group -Z$how --build pkg x.deb >dpkg.log 2>&1 || { cat dpkg.log; false; }
        rootlet pack -o a.ext4 x.deb
        fsck a.ext4
        [ "$(rootlet ls -1 a.ext4:/ | xargs)" = "etc lost+found usr" ]
        rootlet cat a.ext4:/etc/data | cmp - pkg/etc/data
        rootlet ls -l a.ext4:/usr/bin/other | grep -q '^-rwsr-xr-x    2 0     0 '
        [ "$(rootlet cat a.ext4:/usr/bin/link)" = tool ]
        rootlet pack -o b.ext4 - <x.deb
        cmp a.ext4 b.ext4
        cat x.deb | rootlet pack -o b.ext4 -
        rootlet ls -lR a.ext4 >a
        rootlet ls -lR b.ext4 | diff a -
    done
    # One whose data is cut short, and one without.
    head -c $(($(stat -c %s x.deb) - 5000)) x.deb >short.deb
    run --separate-stderr rootlet pack -o c.ext4 short.deb
    failed 1 'short.deb: '
    ar p x.deb control.tar.zst >control.tar.zst 2>/dev/null || skip "binutils' ar"
    ar p x.deb debian-binary >debian-binary
    ar rc none.deb debian-binary control.tar.zst
    run --separate-stderr rootlet pack -o c.ext4 none.deb
    failed 1 'none.deb: read archive: a Debian package without its data.tar'
    [ ! -e c.ext4 ]
}

@test "an Alpine package's files, without what is for the package manager" {
    mkdir -p s c d/usr/bin
    echo sign >s/.SIGN.RSA.key.pub
    echo info >c/.PKGINFO
    echo sh >c/.post-install
    echo tool >d/usr/bin/tool
    echo mine >d/.dotfile
    # Three members, of which only the last one has the end of a tar.
    for part in "s .SIGN.RSA.key.pub" "c .PKGINFO .post-install"; do
        set -- $part
        tar --owner=0 --group=0 -C $1 -cf - ${*:2} | head -c $((1024 * ($# - 1))) | gzip -n >>x.apk
    done
    tar --owner=0 --group=0 -C d -cf - . | gzip -n >>x.apk
    rootlet pack -o a.ext4 x.apk
    fsck a.ext4
    [ "$(rootlet ls -a1 a.ext4:/ | xargs)" = ". .. .dotfile lost+found usr" ]
    [ "$(rootlet cat a.ext4:/usr/bin/tool)" = tool ]
}

@test "more than is allowed is refused, and how to allow it is told" {
    mkdir -p d/a/b/c
    echo x >d/a/b/c/x
    head -c 2M /dev/zero >d/zeros
    tar -cf d.tar -C d .
    gzip -nk d.tar
    run --separate-stderr rootlet pack -o a.ext4 --max-data 1M d.tar.gz
    failed 1 'd.tar.gz: ./zeros: read archive: more data than --max-data allows to unpack'
    run --separate-stderr rootlet pack -o a.ext4 --max-entries 4 d.tar
    failed 1 ': read archive: too many entries: --max-entries allows more'
    run --separate-stderr rootlet pack -o a.ext4 --max-depth 2 d.tar
    failed 1 'd.tar: ./a/b/c/: read archive: directories are too deep: --max-depth allows more'
    run --separate-stderr rootlet pack -o a.ext4 --max-depth 2 d
    failed 1 '/a/b/c: add: directories are too deep: --max-depth allows more'
    [ ! -e a.ext4 ]
    # What lies in a plain tar is not unpacked.
    rootlet pack -o a.ext4 --max-data 1M --max-depth 3 --max-entries 5 d.tar
    rootlet pack -o b.ext4 --max-data 3M d.tar.gz
    rootlet cat b.ext4:/zeros | cmp - d/zeros
    run rootlet pack -o b.ext4 --max-depth 65537 d
    [ "$status" = 2 ]
}

@test "what the tree does not take names archive and entry" {
    pax_tar "SCHILY.xattr.user.big=$(head -c 70000 /dev/zero | tr '\0' x)" >a.tar
    run --separate-stderr rootlet pack -o a.ext4 a.tar
    failed 1 'a.tar: file: read archive: user.big: its value is larger than 64 KiB'
    pax_tar "path=a/$(printf 'n%.0s' $(seq 256))" >a.tar
    run --separate-stderr rootlet pack -o a.ext4 a.tar
    failed 1 'read archive: a name of more than 255 bytes'
    [[ $stderr == 'rootlet: a.tar: a/nnn'* ]]
    only a.tar
}

@test "SELinux labels and capabilities of an archive are kept" {
    pax_tar 'RHT.security.selinux=system_u:object_r:bin_t:s0' >a.tar
    rootlet pack -o a.ext4 a.tar
    fsck a.ext4
    debugfs -R 'ea_get /file security.selinux' a.ext4 2>/dev/null | grep -q 'system_u:object_r:bin_t:s0'
    pax_tar 'SCHILY.xattr.trusted.overlay.opaque=y' >a.tar
    rootlet pack -o a.ext4 a.tar
    debugfs -R 'ea_get /file trusted.overlay.opaque' a.ext4 2>/dev/null | grep -q '= "y"'
    # cap_net_raw+ep, as bytes and as bsdtar writes it.
    perl -e 'print pack("V5", 0x02000001, 1 << 13, 0, 0, 0)' >cap
    pax_tar "LIBARCHIVE.xattr.security.capability=$(base64 -w0 <cap)" >a.tar
    rootlet pack -o a.ext4 a.tar
    debugfs -R 'ea_get -f got /file security.capability' a.ext4 2>/dev/null
    cmp cap got
}

@test "an ACL's mask is the group's part of the mode, as the kernel has it" {
    echo x >f
    chmod 644 f
    setfacl -m u:12:rwx f
    [ "$(stat -c %a f)" = 674 ]
    tar --acls -cf a.tar f
    bsdtar --acls -cf b.tar f
    rootlet pack -o f.ext4 --owner keep --exclude '*.tar' .
    for tar in a.tar b.tar; do
        rootlet pack -o $tar.ext4 $tar
        rootlet ls -l $tar.ext4:/f | grep -q '^-rw-rwxr--'
    done
}
