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

# A tree of texts, and one that it became.
make_texts() {
    mkdir -p a/dir b/dir
    seq 1000 >a/long
    sed -e 's/^5$/five/' -e '/^500$/d' -e 's/^900$/&\nand a half/' a/long >b/long
    printf 'one\ntwo' >a/dir/'no newline'
    printf 'one\n2\n' >b/dir/'no newline'
    printf 'gone\n' >a/gone
    printf 'new\n--- not a head\n' >b/'new "one"'
    printf 'tab\there\n' >a/$'a\nb'
    printf 'tab\tthere\n' >b/$'a\nb'
    printf '\303\244 \377\n' >b/latin
    cp a/gone a/same; cp a/gone b/same
    find a b -exec touch -h -d @1500000000 {} +
}

@test "--content shows texts in a form that patch takes" {
    make_texts
    rootlet pack -q -o a.ext4 a
    rootlet pack -q -o b.ext4 b
    for pair in "a.ext4 b.ext4" "a.ext4 b" "a b.ext4" "a b"; do
        run -1 --separate-stderr rootlet diff --content $pair
        printf '%s\n' "$output" >changes.patch
        rm -rf out
        mkdir out
        rootlet cp -r a.ext4:/ out
        rmdir out/lost+found
        (cd out && patch -s -E -p1 <../changes.patch)
        diff -r out b
        grep -q '^M /long  content$' changes.patch
    done
    # As diff -u has them, names apart.
    rootlet diff --content a.ext4:/long b.ext4:/long | sed 1,3d >ours || true
    diff -u a/long b/long | sed 1,2d >theirs || true
    cmp ours theirs
    run -1 --separate-stderr rootlet diff --content a.ext4:/dir b.ext4:/dir
    [ "$output" = "M /no newline  content
--- a.ext4:/dir/no newline	
+++ b.ext4:/dir/no newline	
@@ -1,2 +1,2 @@
 one
-two
\\ No newline at end of file
+2" ]
}

@test "--content: no text of what is none, nor where it is not wanted" {
    mkdir a b
    printf 'x\0y' >a/binary
    printf 'x\0z' >b/binary
    printf 'x\0z' >b/new
    : >b/empty
    head -c 9M /dev/zero | tr '\0' '\n' >a/huge
    head -c 9000001 /dev/zero | tr '\0' '\n' >b/huge
    run -1 --separate-stderr rootlet diff --content --ignore time a b
    [ "$output" = "M /binary  content
Binary files a/binary and b/binary differ
A /empty
M /huge  content
Binary files a/huge and b/huge differ
A /new
Binary files /dev/null and b/new differ" ]
    for words in --stat --json "--ignore content,time" -q; do
        run -1 --separate-stderr rootlet diff --content $words a b
        refute grep -qE '^(---|Binary)' <<<"$output"
    done
}

@test "--content on a terminal shows what a file has without doing it" {
    mkdir a b
    printf 'x\033[2J\n' >a/f
    printf 'y\033[2J\t\\\n' >b/f
    script -qec "$ROOTLET diff --content a b" /dev/null >seen </dev/null || [ $? = 1 ]
    grep -qF '+y\x1b[2J	\' seen
    refute grep -qF $'\033[2J' seen
}

@test "large files: a difference is found wherever it is, and holes cost nothing" {
    mkdir a b
    head -c 9000000 /dev/urandom >a/f
    for at in 0 2097151 2097152 5000000 8999999; do
        cp a/f b/f
        printf 'changed' | dd of=b/f bs=1 seek=$at conv=notrunc status=none
        truncate -s 9000000 b/f
        rm -f b.ext4
        rootlet pack -q -o b.ext4 b
        run -1 --separate-stderr rootlet diff -q --content --ignore time a b.ext4
    done
    cp a/f b/f
    rm b.ext4
    rootlet pack -q -o b.ext4 b
    run -0 --separate-stderr rootlet diff --content --ignore time a b.ext4
    # A hole and zeros are the same bytes.
    truncate -s 5M a/f
    cp a/f b/f
    truncate -s 8M a/f
    head -c 3M /dev/zero >>b/f
    rootlet pack -q -o a.ext4 a
    run -0 --separate-stderr rootlet diff --content --ignore time a.ext4 b
    printf x | dd of=b/f bs=1 seek=8388607 conv=notrunc status=none
    run -1 --separate-stderr rootlet diff --content --ignore time a.ext4 b
    truncate -s 8T a/f b/f
    rm a.ext4
    rootlet pack -q -o a.ext4 a
    run -1 --separate-stderr timeout 60 "$ROOTLET" diff --content --ignore time a.ext4 b
}

@test "many files of all sizes" {
    mkdir a
    for i in $(seq 600); do head -c $((i * i)) /dev/urandom >a/$i; done
    put_bytes() {
        printf "$1" | dd of=a/77 bs=1 seek=100 conv=notrunc status=none
        printf "$1" | dd of=a/599 bs=1 seek=358800 conv=notrunc status=none
    }
    put_bytes y
    rootlet pack -q -o a.ext4 a
    run -0 --separate-stderr rootlet diff --content --ignore time a a.ext4
    put_bytes x
    run -1 --separate-stderr rootlet diff --content --ignore time a a.ext4
    [ "$(grep -c '^M' <<<"$output")" = 2 ]
    [[ $output == *"M /599  content"*"M /77  content"* ]]
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
    grep -qx 'M /f  content' said
}
