#!/usr/bin/env bats
load helper

# A folder with what a tree can have.
make_source() {
    mkdir -p src/dir/deep "src/with space" src/empty
    printf 'hello\n' >src/file
    head -c 300000 /dev/urandom >src/dir/random
    ln src/file src/dir/hard
    ln -s ../file src/dir/link
    ln -s "$(printf 'x%.0s' $(seq 100))" src/long
    mkfifo src/fifo
    truncate -s 5M src/sparse
    printf end | dd of=src/sparse bs=1 seek=3000000 conv=notrunc status=none
    chmod 4755 src/file
    chmod 1777 src/empty
    touch -d '1999-12-31 23:59:59.123456789' src/dir/random
    for i in $(seq 500); do : >"src/with space/a longer name so that there are blocks $i"; done
}

@test "an empty data disk of a size" {
    rootlet pack -o d.ext4 --size 100M
    [ "$(stat -c %s d.ext4)" = 104857600 ]
    fsck d.ext4
    [ "$(rootlet ls d.ext4)" = lost+found ]
    only d.ext4 fsck.log
}

@test "a folder comes out as it went in, in every type" {
    make_source
    for fs in ext2 ext3 ext4; do
        rootlet pack --fs $fs -o t.img src
        fsck t.img
        rm -rf out
        mkdir out
        debugfs -R 'rdump / out' t.img 2>/dev/null
        rmdir out/lost+found
        # debugfs makes neither hard links nor fifos, and sets modes without the upper bits.
        diff -r --no-dereference -x fifo src out
        for path in file dir/random sparse; do
            rootlet cat "t.img:/$path" | cmp - "src/$path"
        done
    done
    rootlet ls -l t.img:/ | grep -q -- '^-rwsr-xr-x    2 0     0              6 .* file$'
    rootlet ls -l t.img:/ | grep -q '^prw.* fifo$'
    rootlet ls -l t.img:/ | grep -q '^drwxrwxrwt.* empty$'
    rootlet ls -l t.img:/dir | grep -q '1999-12-31.* random$'
    rootlet ls -l t.img:/dir | grep -q ' link -> ../file$'
}

@test "a sparse file stays sparse" {
    truncate -s 1T big
    mkdir src
    mv big src
    printf x | dd of=src/big bs=1 seek=500000000000 conv=notrunc status=none
    rootlet pack -o s.ext4 src
    fsck s.ext4
    [ "$(du -k s.ext4 | cut -f1)" -lt 4096 ]
    debugfs -R 'stat /big' s.ext4 2>/dev/null | grep -q 'Size: 1099511627776'
}

@test "owners and modes by rule, later ones win" {
    make_source
    rootlet pack -o t.ext4 --owner 7:8 --chown 'dir/**=100:200' --chown 'hard=1:2' --chmod 'random=0600' \
        --exclude 'a longer*' --exclude sparse src
    fsck t.ext4
    run -0 rootlet ls -l t.ext4:/
    [[ $output == *" 1     2 "*" file"* ]]
    [[ $output == *" 7     8 "*" long"* ]]
    [[ $output != *sparse* ]]
    run -0 rootlet ls -l t.ext4:/dir
    [[ $output == *"-rw-------    1 100   200 "*" random"* ]]
    [ -z "$(rootlet ls 't.ext4:/with space')" ]
}

@test "several sources, the later one wins, --at says where" {
    mkdir -p a/etc b/etc c
    echo a >a/etc/x; echo a >a/etc/y; echo b >b/etc/x; echo c >c/z
    rootlet pack -o t.ext4 a b --at /opt/c c
    [ "$(rootlet cat t.ext4:/etc/x t.ext4:/etc/y t.ext4:/opt/c/z)" = $'b\na\nc' ]
}

@test "the same bytes from other folders, umasks, time zones and as often as you like" {
    make_source
    rootlet pack -o one.ext4 src
    mkdir -p other/place
    cp -a src other/place/src
    (umask 077; cd other/place; TZ=Asia/Tokyo LC_ALL=C.UTF-8 rootlet pack -o ../../two.ext4 src)
    cmp one.ext4 two.ext4
    SOURCE_DATE_EPOCH=1000000000 rootlet pack -o three.ext4 src
    fsck three.ext4
    [ -z "$(rootlet ls -lR three.ext4 | grep -E ' 20(0[2-9]|[1-9][0-9])-')" ]
}

@test "rules on two names of one file do not depend on which was listed first" {
    mkdir one two
    echo x >one/a; ln one/a one/b
    echo x >two/b; ln two/b two/a
    touch -d 2020-02-02 one/a two/a one two
    for dir in one two; do rootlet pack -o $dir.img --chmod 'b=0640' --chmod 'a=0600' $dir; done
    cmp one.img two.img
    rootlet ls -l one.img:/ | grep -q '^-rw-r-----.* a$'
}

@test "an output whose bytes would not change is left alone" {
    mkdir src; echo x >src/x
    rootlet pack -o t.ext4 src
    touch -d 2001-01-01 t.ext4
    before=$(stat -c '%i %Y' t.ext4)
    rootlet pack -o t.ext4 src
    [ "$(stat -c '%i %Y' t.ext4)" = "$before" ]
    echo y >src/x
    rootlet pack -o t.ext4 src
    [ "$(stat -c '%i %Y' t.ext4)" != "$before" ]
}

@test "what mke2fs makes by default: features, sizes, journal" {
    for fs in ext2 ext3 ext4; do
        for size in 30M 300M 3G; do
            rm -f m.img
            mke2fs -q -t $fs -m 0 m.img $size
            rootlet pack -q -o r.img --fs $fs --block-size "$(dumpe2fs -h m.img 2>/dev/null | sed -n 's/^Block size: *//p')" --size $size
            for image in m r; do
                dumpe2fs -h $image.img 2>/dev/null | grep -E '^(Filesystem (features|revision)|Default (mount|directory)|Errors|Block|Fragment|Group desc|Reserved|Inode|First|Flex|Required|Desired|Journal (inode|size|backup|features)|Total journal|Checksum type)' >$image.txt
            done
            diff m.txt r.txt || { echo "$fs $size"; return 1; }
        done
    done
}

@test "label, UUID, block size, features, free space" {
    rootlet pack -o t.ext4 --label home --uuid 01234567-89ab-cdef-0123-456789abcdef --block-size 1024 \
        --features ^has_journal,^metadata_csum,uninit_bg --free 8M --free-inodes 123
    fsck t.ext4
    run -0 rootlet info t.ext4
    [[ $output == *"label        home"* ]]
    [[ $output == *"uuid         01234567-89ab-cdef-0123-456789abcdef"* ]]
    [[ $output == *"of 1024 bytes"* ]]
    [[ $output != *has_journal* && $output != *metadata_csum* && $output == *uninit_bg* ]]
    free=$(rootlet info --json t.ext4 | sed -n 's/.*"free_blocks": \([0-9]*\).*/\1/p')
    [ "$free" -ge 8192 ]
    inodes=$(rootlet info --json t.ext4 | sed -n 's/.*"free_inodes": \([0-9]*\).*/\1/p')
    [ "$inodes" -ge 123 ]
}

@test "too small a size says which one is needed, and that one does" {
    mkdir src; head -c 3000000 /dev/zero | tr '\0' x >src/x
    run --separate-stderr rootlet pack -o t.ext4 --size 1M src
    failed 1 "is too small: at least "
    only src
    needed=${stderr##*at least }
    needed=${needed%% *}
    rootlet pack -o t.ext4 --size "$needed" src
    fsck t.ext4
    # A smaller image would have a smaller journal, and so need less than one of the size that was asked for.
    truncate -s 118M src/y
    head -c 118000000 /dev/zero | tr '\0' y >src/y
    run --separate-stderr rootlet pack -o t.ext4 --size 128M src
    failed 1 "is too small: at least "
    needed=${stderr##*at least }
    [ "${needed%% *}" -gt 134217728 ]
}

@test "resize2fs finds nothing to take off, and makes it larger" {
    mkdir -p src/many
    for i in $(seq 600); do head -c $((i * 90)) /dev/urandom >src/many/$i; done
    head -c 9000000 /dev/urandom >src/large
    for options in "--fs ext4" "--fs ext4 --block-size 1024" "--fs ext2 --block-size 1024" "--fs ext3 --block-size 2048" \
        "--features ^has_journal,^resize_inode,meta_bg"; do
        rootlet pack -q -o t.img $options src
        size=$(stat -c %s t.img)
        cp t.img smaller.img
        resize2fs -M smaller.img 2>&1 | grep -v '^resize2fs 1'
        [ "$(stat -c %s smaller.img)" -gt $((size * 99 / 100)) ]
        truncate -s +200M t.img
        resize2fs t.img
        fsck t.img
        [ "$(dumpe2fs -h t.img 2>/dev/null | sed -n 's/^Free blocks: *//p')" -gt 40000 ]
        rootlet cat t.img:/large | cmp - src/large
    done
}

@test "a plan without an image" {
    make_source
    run -0 rootlet pack --plan src
    [[ $output == *directories* && $output == *"groups"* ]]
    run -0 rootlet pack --plan --json src
    [[ $output == *'"blocks": '* ]]
    only src
}

@test "the plan names the largest subtrees" {
    mkdir -p src/usr/share/doc src/bin
    head -c 300000 /dev/zero >src/usr/share/doc/text
    head -c 100000 /dev/zero >src/bin/program
    ln src/bin/program src/usr/share/doc/program
    run -0 rootlet pack --plan src
    [[ $output == *"largest subtrees"*"/usr"*"/usr/share"*"/usr/share/doc"*"/bin"* ]]
    rootlet pack --plan --json src >plan
    perl -MJSON::PP -e 'local $/; my $p = decode_json(<STDIN>); my @s = @{$p->{largest_subtrees}};
        exit !($s[0]{path} eq "/usr" && $s[0]{inodes} == 4 && $s[0]{bytes} >= 300000 && $p->{data_blocks} == 99)' <plan
}

@test "inodes of 128 bytes" {
    mkdir src
    echo x >src/x
    rootlet pack -o t.img --fs ext2 --inode-size 128 src
    fsck t.img
    rootlet info t.img | grep -q 'of 128 bytes'
    run --separate-stderr rootlet pack -o t.img --inode-size 512 src
    failed 2 "128 or 256"
    run --separate-stderr rootlet pack -o t.img --inode-size 128 --features inline_data src
    failed 1 "inline_data needs inodes of 256 bytes"
}

@test "what is not supported says so" {
    mkdir src; : >file
    run --separate-stderr rootlet pack -o t.ext4 --features encrypt src
    failed 1 "encrypt: choose features: rootlet does not support it"
    for features in ^extent ^large_file ^ext_attr,inline_data orphan_file,^has_journal; do
        run --separate-stderr rootlet pack -o t.ext4 --features $features src
        failed 1 "t.ext4: choose features: "
    done
    run --separate-stderr rootlet pack -o t.ext4 --free 512P --free-inodes 0 src
    failed 1 "t.ext4: plan: larger than an ext4 file system can be"
    run --separate-stderr rootlet pack -o t.ext4 file
    failed 1 "file: read archive: it is empty, and no archive"
    run --separate-stderr rootlet pack -o t.ext4 oci:x
    failed 1 "x: open: No such file or directory"
    only file src
}

@test "bad input leaves the old image and no litter" {
    mkdir src; echo x >src/x
    rootlet pack -o t.ext4 src
    cp -p t.ext4 before
    run --separate-stderr rootlet pack -o t.ext4 nowhere
    failed 1 "nowhere: read source: No such file"
    run --separate-stderr rootlet pack -o t.ext4 --chmod 'x=999' src
    failed 2 "not an octal mode"
    run --separate-stderr rootlet pack -o nowhere/t.ext4 src
    failed 1 "nowhere/t.ext4: create: No such file"
    mkdir t.dir
    run --separate-stderr rootlet pack -o t.dir src
    failed 1 "t.dir: create"
    cmp before t.ext4
    only before src t.dir t.ext4
}

@test "a file that cannot be read is an error that names it" {
    [ "$(id -u)" != 0 ] || skip "root can read everything"
    mkdir src; echo x >src/secret; chmod 0 src/secret
    run --separate-stderr rootlet pack -o t.ext4 src
    failed 1 "src/secret: open: Permission denied"
    only src
}

@test "a full disk: one line, the old image stays" {
    skip_unless "bwrap --unshare-user --ro-bind / / true" "bubblewrap cannot make namespaces here"
    mkdir src; head -c 4000000 /dev/urandom >src/x
    run --separate-stderr bwrap --unshare-user --ro-bind / / --bind "$PWD" "$PWD" --size 2097152 --tmpfs /tmp/ \
        --dev /dev --ro-bind "$PWD/src" /tmp/src --ro-bind "$ROOTLET" /tmp/rootlet sh -c '
            cd /tmp && mkdir small && echo x >small/x && ./rootlet pack -o t.ext4 small && cp t.ext4 before &&
            ./rootlet pack -o t.ext4 src; s=$?; cmp t.ext4 before || exit 9; ls -A; exit $s'
    [ "$status" = 1 ]
    [[ $stderr == "rootlet: t.ext4: write: No space left on device" ]]
    [ "$output" = $'before\nrootlet\nsmall\nsrc\nt.ext4' ]
}

@test "kill -9 in the middle leaves the old image and no litter" {
    mkdir src; head -c 200M /dev/zero | tr '\0' y >src/x; echo old >marker
    mkdir small; echo x >small/x
    rootlet pack -o t.ext4 small
    cp t.ext4 before
    for delay in 0.01 0.03 0.06 0.1; do
        "$ROOTLET" pack -o t.ext4 src &
        sleep $delay
        kill -9 $! 2>/dev/null || :
        wait $! 2>/dev/null || :
        cmp -s t.ext4 before || fsck t.ext4
        only before fsck.log marker small src t.ext4 2>/dev/null || only before marker small src t.ext4
    done
}

@test "SIGTERM ends with one line and no litter" {
    mkdir src; head -c 400M /dev/zero | tr '\0' y >src/x
    "$ROOTLET" pack -o t.ext4 src 2>err &
    sleep 0.05
    kill -TERM $! 2>/dev/null
    status=0; wait $! || status=$?
    # It may have been done already, or not yet have got so far as to catch signals.
    case $status in
        0) fsck t.ext4 ;;
        1) grep -q 'interrupted by SIGTERM' err && [ "$(wc -l <err)" = 1 ] && only err src ;;
        *) [ "$status" = 143 ] && only err src ;;
    esac
}

@test "an image that a running process has locked is not replaced" {
    mkdir src
    rootlet pack -o t.ext4 src
    hold t.ext4
    echo new >src/x
    run --separate-stderr rootlet pack -o t.ext4 src
    kill $holder
    failed 1 "t.ext4: write: in use by process "
    [[ $stderr == *"(perl)" ]]
}
