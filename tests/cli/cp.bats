#!/usr/bin/env bats
# Copying out of images.
load helper

make_image() {
    mkdir -p t/dir/deep t/ro
    echo hello >t/file
    ln t/file t/dir/hard
    ln -s ../file t/dir/soft
    ln -s /etc/passwd t/dir/out
    mkfifo t/fifo
    truncate -s 8M t/sparse
    head -c 5000 /dev/urandom | dd of=t/sparse bs=4096 seek=300 conv=notrunc status=none
    head -c 300000 /dev/urandom >t/large
    echo r >t/ro/f
    setfattr -n user.note -v some t/file
    chmod 750 t/dir
    chmod 4755 t/file
    find t -depth -exec touch -h -d '2001-02-03 04:05:06.123456789' {} +
    chmod 555 t/ro
    rootlet pack -o a.ext4 --owner "$(id -u):$(id -g)" t
    chmod 755 t/ro
}

@test "cp -rp gives what went in" {
    make_image
    rootlet cp -rp a.ext4:/ x
    chmod 555 t/ro
    rootlet diff --owner keep t x
    rootlet diff --content --ignore owner t x
    [ "$(du -k x/sparse | cut -f1)" -lt 100 ]
    [ "$(stat -c %h x/file)" = 2 ]
    chmod 755 t/ro x/ro
    # Into a folder that is there; a part; a symlink as such.
    mkdir y
    rootlet cp -rp a.ext4:/dir a.ext4:/large y
    diff -r --no-dereference t/dir y/dir
    cmp t/large y/large
    [ "$(readlink y/dir/out)" = /etc/passwd ]
    mkdir z
    rootlet cp -r a.ext4:/ z
    [ "$(stat -c %h z/file)" = 2 ]
    [ -d z/lost+found ]
}

@test "without -p files are new; what is in the way is replaced, not written through" {
    make_image
    umask 077
    rootlet cp a.ext4:/file f
    [ "$(stat -c %a f)" = 700 ]
    [ "$(stat -c %Y f)" -gt 1500000000 ]
    echo precious >other
    ln -s other link
    rootlet cp a.ext4:/large link
    [ "$(cat other)" = precious ]
    cmp link t/large
    ln other twin
    rootlet cp a.ext4:/file twin
    [ "$(cat other)" = precious ]
    mkdir -p d/dir
    ln -s "$PWD/other" d/dir/hard
    rootlet cp -r a.ext4:/dir d
    [ "$(cat other)" = precious ]
    [ "$(cat d/dir/hard)" = hello ]
    # A symlink where a folder is to be is not gone through; nor does a folder take the place of it, or of a file.
    mkdir -p e elsewhere
    ln -s "$PWD/elsewhere" e/dir
    run -1 --separate-stderr rootlet cp -r a.ext4:/dir e
    failed 1 "e/dir: copy: replace: Not a directory"
    [ -z "$(ls elsewhere)" ]
    [ -L e/dir ]
    run -1 --separate-stderr rootlet cp -r a.ext4:/dir other
    failed 1 "other: copy: replace: Not a directory"
    [ "$(cat other)" = precious ]
    # Nor a file that of a fifo, or of what a symlink to one leads to.
    mkfifo fifo
    ln -s fifo to-fifo
    for to in fifo to-fifo; do
        run -1 --separate-stderr rootlet cp a.ext4:/file $to
        failed 1 "$to: copy: replace: it is a device, fifo or socket"
    done
    [ -p fifo ]
    [ -L to-fifo ]
}

@test "symlinks that are named, a folder that is not there, standard output, an image alone: as cp has it" {
    make_image
    for option in -r -R -a; do
        rootlet cp $option a.ext4:/dir/soft "s$option"
        [ "$(readlink "s$option")" = "$(readlink t/dir/soft)" ]
    done
    rootlet cp a.ext4:/dir/soft s
    [ ! -L s ]
    cmp s t/file
    rootlet cp -r 'a.ext4:/dir/s*' .
    [ -L soft ]
    run -1 --separate-stderr rootlet cp a.ext4:/file nothing/
    failed 1 "nothing/: copy: there is no such folder"
    rootlet cp -r a.ext4:/dir nothing/
    [ -d nothing/deep ]
    rootlet cp a.ext4:/file a.ext4:/large - | cmp - <(cat t/file t/large)
    [ ! -e - ]
    run -1 --separate-stderr rootlet cp -r a.ext4:/dir -
    failed 1 "a.ext4:/dir: copy: only a regular file goes to standard output"
    rootlet cp -a a.ext4 whole
    rootlet diff a.ext4 whole || [ "$(id -u)" != 0 ]
}

@test "what is read stays as it is, under whatever name it is to be replaced" {
    make_image
    cp a.ext4 b.ext4
    rootlet cow create -q b.cow b.ext4
    cp b.cow c.cow
    ln -s b.ext4 link
    mkdir inner
    cp t/file inner/b.ext4
    rootlet pack -o i.ext4 inner
    for to in b.ext4 ./b.ext4; do
        run -1 --separate-stderr rootlet cp b.ext4:/file $to
        failed 1 "copy: replace: what is copied comes from it"
    done
    run -1 --separate-stderr rootlet cp b.cow:/file b.ext4
    failed 1 "comes from it"
    run -1 --separate-stderr rootlet cp b.cow:/file b.cow
    failed 1 "comes from it"
    mv i.ext4 b2.ext4
    ln b2.ext4 inner/b.ext4 -f
    (cd inner && run -1 --separate-stderr rootlet cp -r b.ext4:/ . && failed 1 "./b.ext4: copy: replace: what is copied")
    for verb in tar manifest "manifest --format json"; do
        for to in b.ext4 link; do
            run -1 --separate-stderr rootlet $verb -o $to b.ext4
            failed 1 "rootlet: $to: write: what is written comes from it"
        done
        run -1 --separate-stderr rootlet $verb -o b.ext4 b.cow
        failed 1 "comes from it"
    done
    cmp a.ext4 b.ext4
    cmp b.cow c.cow
}

@test "cp -p keeps the attributes of what cannot be opened, too" {
    [ "$(id -u)" = 0 ] || skip "only root may set them"
    mkdir o
    printf '/ff p 644 0 0\n/dev c 600 0 0 1 5\n' >table
    : >o/f
    rootlet pack -q -o x.ext4 o devtable:table
    for name in f ff dev; do
        debugfs -w -R "ea_set /$name security.selinux context" x.ext4 2>/dev/null
    done
    rootlet cp -a x.ext4:/ out
    for name in f ff dev; do
        [ "$(getfattr --absolute-names -h -n security.selinux --only-values out/$name)" = context ]
    done
    # A folder's attributes that are the host's matter do not count.
    rootlet diff x.ext4 out
}

@test "errors: no -r, nothing there, a device, a folder in the way" {
    make_image
    run -1 --separate-stderr rootlet cp a.ext4:/dir x
    failed 1 "it is a directory: -r"
    run -1 --separate-stderr rootlet cp a.ext4:/nothing x
    failed 1 "there is no such path in it"
    run -1 --separate-stderr rootlet cp a.ext4:/file nowhere/x
    failed 1 "nowhere/: open: No such file"
    run -1 --separate-stderr rootlet cp a.ext4:/file a.ext4:/large x
    failed 1 "it is none"
    run -1 --separate-stderr rootlet cp t/file a.ext4:/x
    failed 1 "putting files into images is not supported yet"
    run -2 --separate-stderr rootlet cp a.ext4:/file
    mkdir file
    run -1 --separate-stderr rootlet cp a.ext4:/file .
    failed 1 "./file: copy: replace: Is a directory"
    if [ "$(id -u)" != 0 ]; then
        printf '/c c 600 0 0 5 1\n' >table
        rootlet pack -o c.ext4 t devtable:table
        run -1 --separate-stderr rootlet cp -r c.ext4:/ y
        [[ $stderr == *"y/c: copy: make device"* ]]
        [ "$(cat y/file)" = hello ]
    fi
}

@test "a full disk leaves no half of a file" {
    make_image
    run -1 --separate-stderr bash -c "ulimit -f 100; '$ROOTLET' cp a.ext4:/large x"
    [ ! -e x ]
    [[ $stderr == "rootlet: x: write: File too large" ]]
}

@test "many files are made by several threads: all of them, or whole ones and an error" {
    mkdir many
    for i in $(seq 900); do
        mkdir -p many/d$((i % 7))
        seq $i >many/d$((i % 7))/$i
    done
    seq 60000 >many/d3/large
    ln many/d3/large many/d3/zlink
    rootlet pack -q -o many.ext4 many
    rootlet cp -r many.ext4:/ all
    rmdir all/lost+found
    diff -r many all
    [ "$(stat -c %h all/d3/zlink)" = 2 ]
    # 200 KiB is less than the large one has. It has no second name then either.
    run -1 --separate-stderr bash -c "ulimit -f 200; '$ROOTLET' cp -r many.ext4:/ some"
    [[ $stderr == "rootlet: some/d3/large: write: File too large" ]]
    [ ! -e some/d3/large ] && [ ! -e some/d3/zlink ]
    (cd some && find . -type f) | while read -r name; do cmp "some/$name" "many/$name"; done
}

@test "of an image that cannot be read as a whole nothing is copied, whichever word comes first" {
    mkdir t
    ln -s file t/a-link
    echo content >t/file
    rootlet pack -q -o i.ext4 t
    debugfs -w -R 'sif /a-link size 0' i.ext4 2>/dev/null
    mkdir out
    run --separate-stderr rootlet cp -r i.ext4:/a-link i.ext4:/file i.ext4:/file out
    [ "$status" = 1 ]
    [ "$(grep -c 'i.ext4:/a-link: read: its target is empty' <<<"$stderr")" = 3 ]
    [ -z "$(ls -A out)" ]
}
