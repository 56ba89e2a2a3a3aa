#!/usr/bin/env bats
# What differs between images, folders and archives.
load helper

make_sides() {
    mkdir -p a/dir b/dir
    for side in a b; do
        echo same >$side/same
        echo one >$side/content
        echo t >$side/dir/time
        echo m >$side/mode
        ln -s x $side/link
        ln $side/mode $side/hard
        find $side -exec touch -h -d @1500000000 {} +
    done
}

@test "the same in every form" {
    make_sides
    rootlet pack -o a.ext4 a
    rootlet pack -o b.ext2 --fs ext2 --block-size 1024 b
    tar -C a --owner=0 --group=0 -cf a.tar .
    for pair in "a b" "a.ext4 b.ext2" "a.tar b" "a.ext4 a" "b.ext2 a.tar"; do
        run -0 --separate-stderr rootlet diff --ignore time --content $pair
        [ -z "$output" ]
    done
    run -0 --separate-stderr rootlet diff a.ext4:/dir a/dir
    [ -z "$output" ]
}

@test "each difference has its word" {
    make_sides
    echo two >b/content; touch -d @1500000000 b/content
    echo longer >b/same; touch -d @1500000000 b/same
    touch -d @1500000001 b/dir/time
    chmod 600 b/mode
    ln -sfn y b/link
    rm b/hard
    mkdir b/hard b/new
    echo n >b/new/file
    mkdir a/old
    echo o >a/old/file
    setfattr -n user.x -v 1 b/dir/time
    find a b -type d -exec touch -d @1500000000 {} +
    touch -h -d @1500000000 b/link
    run -1 --separate-stderr rootlet diff a b
    # Without its hard link the file has one name less.
    diff - <(printf '%s\n' "$output") <<'END'
M /dir/time  time,xattrs
M /hard  type,mode
M /link  target
M /mode  mode,links
A /new
A /new/file
D /old
D /old/file
M /same  content
END
    run -1 --separate-stderr rootlet diff --content a b
    [[ $output == *"M /content  content"* ]]
    run -1 --separate-stderr rootlet diff --stat a b
    [ "$output" = "2 added, 2 removed, 5 modified" ]
    run -1 --separate-stderr rootlet diff -q a b
    [ -z "$output$stderr" ]
    run -1 --separate-stderr rootlet diff --ignore time,xattrs,mode,links a b
    refute grep -E 'dir/time|/mode' <<<"$output"
    rootlet diff --json a b | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert {"change": "modified", "path": "/dir/time", "what": ["time", "xattrs"]} in rows, rows
assert {"change": "added", "path": "/new/file", "what": []} in rows' || [ $? = 1 ]
}

@test "two builds: the times of rootlet's own say nothing, so contents are read" {
    for side in one two; do
        printf 'summary = "s"\nhostname = "box-%s"\nuser "me" { uid = 1001 }\n' $side >box.conf
        rootlet build -q -o $side box.conf
    done
    run -1 --separate-stderr rootlet diff one/root.ext4 two/root.ext4
    [ "$output" = "M /etc/hostname  content" ]
    run -0 --separate-stderr rootlet diff one/root.ext4 one/root.ext4
}

@test "owners: a folder is root's unless it is to be kept; devices" {
    mkdir d
    echo x >d/f
    rootlet pack -o a.ext4 --chown '/f=12:34' d
    run -1 --separate-stderr rootlet diff a.ext4 d
    [[ $output == *"M /f  owner"* ]]
    printf '/c c 600 0 0 5 1\n' >t1
    printf '/c c 600 0 0 5 2\n' >t2
    run -1 --separate-stderr rootlet diff devtable:t1 devtable:t2
    [ "$output" = "M /c  device" ]
}

@test "trouble is 2, in one line" {
    mkdir d
    for words in "d nothing" "nothing d" "d:/x d" "d"; do
        run -2 --separate-stderr rootlet diff $words
        [ -n "$stderr" ]
        [ -z "$output" ]
    done
    run -2 --separate-stderr rootlet diff --ignore type d d
    failed 2 "not 'type'"
}

@test "holes are not read: files of terabytes are compared at once" {
    mkdir a b
    for place in 0 1000000000 5000000000000; do
        printf data | dd of=a/f bs=1 seek=$place conv=notrunc status=none
    done
    cp --sparse=always a/f b/f
    touch -r a/f b/f a b
    rootlet pack -q -o a.img a
    rootlet pack -q -o b.img b
    timeout 20 "$ROOTLET" diff --content a.img b.img
    printf lost | dd of=b/f bs=1 seek=2000000000000 conv=notrunc status=none
    touch -r a/f b/f
    rootlet pack -q -o b.img b
    status=0
    timeout 20 "$ROOTLET" diff --content a.img b.img >said || status=$?
    [ "$status" = 1 ]
    diff said - <<<'M /f  content'
}
