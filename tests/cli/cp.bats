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
    # A symlink where a folder is to be is not gone through.
    mkdir -p e elsewhere
    ln -s "$PWD/elsewhere" e/dir
    rootlet cp -r a.ext4:/dir e
    [ -z "$(ls elsewhere)" ]
    [ ! -L e/dir ]
    [ -d e/dir/deep ]
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
