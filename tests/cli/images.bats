#!/usr/bin/env bats
# Images as sources: converted, resized, laid over; what comes out is what packing their files gives.
load helper

# A folder with whatever an image can hold that a plain user can make.
make_tree() {
    mkdir -p t/dir/deep t/empty
    echo hello >t/file
    ln t/file t/dir/hard
    ln -s ../file t/dir/soft
    ln -s "$(printf 'long/%.0s' $(seq 40))" t/long
    mkfifo t/fifo
    : >t/none
    chmod 4711 t/file
    chmod 1777 t/empty
    head -c 3M /dev/urandom >t/large
    truncate -s 40M t/sparse
    # A whole block without a zero, so that its holes are the same whatever the size of a block.
    head -c 20000 /dev/urandom | tr -d '\0' | dd of=t/sparse bs=4096 seek=7000 count=1 iflag=fullblock conv=notrunc status=none
    truncate -s 5M t/hole
    printf 'x%.0s' $(seq 100) >t/small
    for i in $(seq 500); do echo $i >"t/dir/deep/a-name-of-some-length-$i"; done
    setfattr -n user.note -v some t/dir
    setfattr -n user.large -v "$(printf 'y%.0s' $(seq 300))" t/small
    setfacl -m u:1234:r-x t/large
    setfacl -d -m g:77:rwx t/dir
    find t -depth -exec touch -h -d @1500000000 {} +
}

@test "an image of ours gives what its files give, whatever its features" {
    make_tree
    touch -h -d '2033-05-18 03:33:20.123456789' t/small
    rootlet pack -o direct.ext4 t
    for how in "ext4" "ext4 --features inline_data,ea_inode" "ext4 --block-size 1024 --features ^extent,^64bit" \
        "ext2 --block-size 2048" "ext3 --block-size 1024 --size 90M"; do
        rootlet pack -o from.img --fs $how t
        rootlet pack -o to.ext4 from.img
        cmp direct.ext4 to.ext4
    done
    rootlet pack --fs ext2 --block-size 1024 -o again.ext2 to.ext4
    rootlet pack --fs ext2 --block-size 1024 -o direct.ext2 t
    cmp again.ext2 direct.ext2
}

@test "an image of mke2fs's gives what its files give" {
    make_tree
    rootlet pack -o direct.ext4 --owner 0:0 t
    for how in "-t ext2 -b 1024 -I 128" "-t ext3 -b 4096" "-t ext4 -b 2048" \
        "-t ext4 -O bigalloc -C 65536 -m 0" "-t ext2 -r 0 -I 128 -O none"; do
        rm -f from.img
        mke2fs -q $how -d t from.img 64M 2>mke2fs.log || { cat mke2fs.log; false; }
        # It does not take the folder's own time.
        debugfs -w -R 'set_inode_field <2> mtime @1500000000' from.img 2>/dev/null
        debugfs -w -R 'set_inode_field <2> mtime_extra 0' from.img 2>/dev/null
        rootlet pack -o to.ext4 --owner 0:0 --exclude /lost+found from.img
        fsck to.ext4
        # Without features mke2fs keeps no attributes.
        case $how in
            *none*)
                plain() { rootlet ls -lR "$1" | sed 's/^\([^ ]\{10\}\)+* */\1 /'; }
                plain to.ext4 >a; plain direct.ext4 | diff a - ;;
            *) cmp direct.ext4 to.ext4 ;;
        esac
    done
}

@test "an image is resized, and others are laid over it" {
    make_tree
    mkdir -p over/dir
    echo new >over/file
    rootlet pack -o old.ext2 --fs ext2 --owner 3:4 t
    rootlet pack -o new.ext4 --size 100M old.ext2 --at /dir over
    fsck new.ext4
    [ "$(stat -c %s new.ext4)" = 104857600 ]
    [ "$(rootlet cat new.ext4:/dir/file)" = new ]
    [ "$(rootlet cat new.ext4:/file)" = hello ]
    rootlet cat new.ext4:/large | cmp - t/large
    rootlet cat new.ext4:/sparse | cmp - t/sparse
    debugfs -R 'stat /file' new.ext4 2>/dev/null | grep -q 'User:     3   Group:     4'
    # Onto itself: nothing changes, not even the time.
    touch -d @1 new.ext4
    rootlet pack -o new.ext4 --size 100M new.ext4
    [ "$(stat -c %Y new.ext4)" = 1 ]
}

@test "images that cannot be taken as they are are refused" {
    mkdir t
    echo hello >t/file
    rootlet pack -o a.ext4 --size 20M t
    cp a.ext4 dirty.ext4
    debugfs -w -R 'feature needs_recovery' dirty.ext4 >/dev/null 2>&1
    rootlet pack -o b.ext4 dirty.ext4
    rootlet diff a.ext4 b.ext4
    rm b.ext4
    { printf 'OOOM\0\0\0\3'; head -c 20000 /dev/zero; } >disk.cow
    run --separate-stderr rootlet ls disk.cow
    failed 1 'disk.cow: open: its header names no backing file'
    cp a.ext4 raw.ext4
    printf 'OOOM\0\0\0\3' | dd of=raw.ext4 conv=notrunc status=none
    rootlet diff a.ext4 raw.ext4
    # A directory that is reached twice, a hard link to a directory.
    cp a.ext4 twice.ext4
    debugfs -w -R 'mkdir /d' twice.ext4 >/dev/null 2>&1
    debugfs -w -R 'link /d /e' twice.ext4 >/dev/null 2>&1
    run --separate-stderr rootlet pack -o b.ext4 twice.ext4
    failed 1 'a directory with more than one name'
    cp a.ext4 bad.ext4
    debugfs -w -R 'sif /file block[2] 0xffff' bad.ext4 >/dev/null 2>&1
    debugfs -w -R 'sif /file size 0xffffffffffff' bad.ext4 >/dev/null 2>&1
    run --separate-stderr rootlet pack -o b.ext4 bad.ext4
    [ "$status" = 1 ]
    head -c 100000 a.ext4 >short.ext4
    run --separate-stderr rootlet pack -o b.ext4 short.ext4
    failed 1 'short.ext4: open: it is cut short'
    [ ! -e b.ext4 ]
}
