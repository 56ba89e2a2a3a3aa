#!/usr/bin/env bats
load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    mkdir -p src/etc src/dir
    echo root:x >src/etc/passwd
    ln -s etc/passwd src/relative
    ln -s /etc/passwd src/absolute
    ln -s /etc src/toetc
    ln -s loop src/loop
    ln -s nowhere src/dangling
    : >$'src/dir/new\nline'
    : >$'src/dir/esc\e[31m'
    : >src/dir/.hidden
    rootlet pack -o image src
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

@test "cat follows symlinks inside the image only" {
    for path in etc/passwd relative absolute toetc/passwd ./etc/../etc//passwd; do
        [ "$(rootlet cat "image:/$path")" = root:x ]
    done
    run --separate-stderr rootlet cat image:/loop
    failed 1 "image:/loop: open: Too many levels of symbolic links"
    run --separate-stderr rootlet cat image:/dangling
    failed 1 "No such file"
    run --separate-stderr rootlet cat image:/etc
    failed 1 "it is a directory"
    run --separate-stderr rootlet cat image:/etc/passwd/x
    failed 1 "Not a directory"
}

@test "a slash behind what is no directory is an error, and one behind a symlink follows it" {
    mkdir -p out
    for path in etc/passwd/ relative/ toetc/passwd// etc/passwd/.; do
        for verb in ls "ls -l" "ls -d" cat stat find du tree; do
            run --separate-stderr rootlet $verb "image:/$path"
            failed 1 "image:/$path: open: Not a directory"
        done
    done
    for verb in "cp -r -p" "tar -o out/x" manifest; do
        for path in etc/passwd/ relative/ toetc/passwd/; do
            run --separate-stderr rootlet $verb "image:/$path" $([[ $verb != cp* ]] || echo out/x)
            failed 1 "image:/$path: open: Not a directory"
            [ -z "$(ls out)" ]
        done
    done
    run --separate-stderr rootlet ls image:/dangling/
    failed 1 "No such file"
    [ "$(rootlet ls -l image:/toetc/ | awk '{ print $NF }')" = passwd ]
    [[ $(rootlet stat image:/toetc/) == *"/drwx"* && $(rootlet stat image:/toetc) == *"/lrwx"* ]]
    [ "$(rootlet find image:/toetc/)" = $'/toetc/\n/toetc/passwd' ]
    rootlet cp -r image:/toetc/ out/etc
    [ -e out/etc/passwd ]
    rm -r out
    [ "$(rootlet ls -d image:/dir/)" = /dir/ ]
}

@test "cat prints the others although one is missing" {
    run --separate-stderr rootlet cat image:/etc/passwd image:/gone image:/relative
    failed 1 "image:/gone: open: No such file"
    [ "$output" = $'root:x\nroot:x' ]
}

@test "ls sorts, hides dot files, escapes what a terminal would obey" {
    [ "$(rootlet ls image:/dir)" = 'esc\x1b[31m
new\nline' ]
    [ "$(rootlet ls -a image:/dir | head -3)" = $'.\n..\n.hidden' ]
    run -0 rootlet ls -lR image
    [[ $output == *"/etc:"* && $output == *" absolute -> /etc/passwd"* ]]
    run -0 rootlet ls image:/toetc
    [ "$output" = passwd ]
    [[ $(rootlet ls -l image:/toetc) == l*"-> /etc" ]]
    [[ $(rootlet ls -i image:/etc/passwd) =~ ^\ +[0-9]+\ /etc/passwd$ ]]
}

@test "ls --json is JSON, a line each" {
    rootlet ls --json -R image | while read -r line; do
        printf '%s' "$line" | perl -MJSON::PP -e 'local $/; decode_json(<STDIN>)'
    done
    rootlet ls --json image:/etc | grep -q '"path":"/etc/passwd","inode":[0-9]*,"type":"-","mode":"0644"'
}

@test "info knows ext2, ext3 and ext4" {
    for fs in ext2 ext3 ext4; do
        rootlet pack --fs $fs -o $fs.img --size 16M
        rootlet info $fs.img | grep -qx "type         $fs"
        rootlet info --json $fs.img | perl -MJSON::PP -e 'local $/; decode_json(<STDIN>)'
    done
}

@test "info tells of journals outside, and of several images" {
    rootlet pack -q -o j.img --size 16M
    debugfs -w -R 'ssv journal_inum 0' j.img 2>/dev/null
    debugfs -w -R 'ssv journal_dev 0x801' j.img 2>/dev/null
    rootlet info j.img | grep -qx 'journal      external, device 8:1'
    debugfs -w -R 'ssv journal_uuid 12345678-1234-1234-1234-123456789abc' j.img 2>/dev/null
    rootlet info j.img | grep -qx 'journal      external, UUID 12345678-1234-1234-1234-123456789abc'
    rootlet info --json j.img | grep -q '"journal_uuid": "12345678-1234-1234-1234-123456789abc"'
    for size in 1024 4096; do
        mke2fs -q -F -O journal_dev -b $size journal.img 4096 2>/dev/null
        run --separate-stderr rootlet info journal.img
        failed 1 "journal.img: open: it is a journal device, not a file system"
    done
    run --separate-stderr rootlet info j.img missing image
    failed 1 "rootlet: missing: open: No such file or directory"
    [ "$output" = "$(rootlet info j.img; echo; rootlet info image)" ]
    rootlet info --json j.img image | while read -r line; do
        printf '%s' "$line" | perl -MJSON::PP -e 'local $/; print decode_json(<STDIN>)->{image}, "\n"'
    done >names
    [ "$(cat names)" = $'j.img\nimage' ]
}

@test "stat prints all that an inode has, as text and as JSON" {
    rm -f s.img
    mke2fs -q -t ext4 -O project,quota -I 256 -d src s.img 20M
    printf 'sif /etc/passwd %s\n' 'crtime 20200102030405' 'flags 0x480010' 'generation 77' 'projid 55' 'ctime @1700000000' \
        'atime @1800000000' >commands
    echo 'ea_set /etc/passwd user.note some' >>commands
    debugfs -w -f commands s.img >/dev/null 2>&1
    run -0 rootlet stat s.img:/etc/passwd
    [[ $output == *$'\n Birth: 2020-01-02 03:04:05.000000000 UTC (1577934245)\n Flags: ie (immutable, extents, 0x400000)  Generation: 77  Project: 55\n  Attr: user.note=some'* ]]
    rootlet stat --json s.img:/etc/passwd | perl -MJSON::PP -e 'local $/; my $s = decode_json(<STDIN>);
        print join(" ", @$s{qw(crtime crtime_nsec ctime atime blocks generation project)}, @{$s->{flags}}, %{$s->{xattrs}})' >fields
    [ "$(cat fields)" = '1577934245 0 1700000000 1800000000 2 77 55 immutable extents 0x400000 user.note 736f6d65' ]
    # Without room for it there is none.
    rm -f s.img
    mke2fs -q -t ext2 -I 128 -d src s.img 20M 2>/dev/null
    [ "$(rootlet stat s.img:/etc/passwd | tail -n 1)" = ' Flags: -  Generation: 0' ]
    rootlet stat --json s.img:/etc/passwd | grep -q '"flags":\[\],"generation":0,"xattrs":{}}$'
}

@test "images of mke2fs are read too" {
    for options in "-t ext2 -b 1024 -I 128" "-t ext3" "-t ext4 -O ^64bit"; do
        rm -f made.img
        mke2fs -q $options -d src made.img 20M
        [ "$(rootlet cat made.img:/absolute)" = root:x ]
        [ "$(rootlet ls made.img:/dir)" = "$(rootlet ls image:/dir)" ]
    done
}

@test "what is no image is refused in one line" {
    head -c 100000 /dev/urandom >noise
    : >empty
    head -c 300000 image >short
    run --separate-stderr rootlet ls noise
    failed 1 "noise: open: not an ext2, ext3 or ext4 image"
    run --separate-stderr rootlet ls empty
    failed 1 "empty: open: not an ext2, ext3 or ext4 image"
    run --separate-stderr rootlet info gone
    failed 1 "gone: open: No such file"
    run --separate-stderr rootlet info /
    failed 1 "/: open: not a regular file or a block device"
}

@test "directories with many names do not multiply" {
    # Forty of them, each with two names for the next one: 2^40 paths.
    path=chain
    for i in $(seq 40); do mkdir -p "$path"; path=$path/a; done
    rootlet pack -o chain.img chain
    path=
    for i in $(seq 38); do
        echo "ln $path/a $path/b"
        path=$path/a
    done | debugfs -w -f - chain.img >/dev/null 2>&1
    run --separate-stderr timeout 20 "$ROOTLET" ls -R chain.img
    [ "$status" = 1 ]
    [[ $stderr == *"listed before"* ]]
}

@test "a label that is not UTF-8 is JSON all the same" {
    mke2fs -q -L $'caf\xe9' label.img 4M 2>/dev/null
    rootlet info --json label.img | perl -MJSON::PP -e 'local $/; exit !(decode_json(<STDIN>)->{label} eq "caf\\xe9")'
}

@test "a directory that contains itself ends" {
    cp image looped
    dir=$(rootlet ls -i image:/ | sed -n 's/^ *\([0-9]*\) dir$/\1/p')
    debugfs -w -R "ln <2> /dir/again" looped 2>/dev/null
    run --separate-stderr rootlet ls -R looped
    [ "$status" = 1 ]
    [[ $stderr == *"a directory that was listed before"* ]]
}

@test "a signal ends what takes long, in one line" {
    mkdir huge
    truncate -s 8T huge/f
    rootlet pack -q -o huge.ext4 huge
    rootlet pack -q -o wide.ext4 --size 4T
    for words in "check $(yes wide.ext4 | head -n 200 | paste -sd ' ')" "cat huge.ext4:/f" "manifest --holes --format json huge.ext4" "manifest --holes huge.ext4"; do
        status=0
        timeout -k 20 -s INT 2 "$ROOTLET" $words 2>err 3>&- > >(cat >/dev/null) || status=$?
        # 124: it ended, 137: it had to be killed. (/dev/null would take 8T at once.)
        [ "$status" = 124 ] || { echo "$words: $status"; cat err; false; }
        [ "$(wc -l <err)" = 1 ]
        grep -q 'interrupted by SIGINT' err
    done
    # Without being asked to, nobody hashes that.
    for format in mtree json; do
        run -1 --separate-stderr rootlet manifest --format $format huge.ext4
        [ -z "$output" ]
        [[ $stderr == "rootlet: huge.ext4: manifest: its files have holes of more than 8.0G, "* ]]
    done
    # A live line tells how far it is.
    timeout -k 20 -s INT 2 "$ROOTLET" manifest --holes --progress=always --format json huge.ext4 2>err >/dev/null || true
    grep -qE '/f: .* of 8\.0T' err
}

@test "extents that all name the same blocks do not make a small image large" {
    mkdir t
    for place in 0 2 4; do echo data | dd of=t/f bs=1024 seek=$place conv=notrunc status=none; done
    mke2fs -q -t ext4 -b 1024 -O ^metadata_csum,^has_journal -d t a.ext4 4M
    # Three extents of 3000 blocks: 9 MB of data in 4 MB.
    for i in 0 1 2; do
        printf 'sif /f block[%d] %d\nsif /f block[%d] 3000\nsif /f block[%d] 1\n' \
            $((3 + 3 * i)) $((3000 * i)) $((4 + 3 * i)) $((5 + 3 * i))
    done >commands
    debugfs -w -f commands a.ext4 >/dev/null 2>&1
    debugfs -w -R 'sif /f size 9216000' a.ext4 >/dev/null 2>&1
    debugfs -R 'ex /f' a.ext4 2>/dev/null | grep -q '6000 -  8999 *1 - *3000'
    run --separate-stderr rootlet cat a.ext4:/f
    failed 1 'a.ext4:/f: read: it has more blocks than the file system'
}

@test "encrypted names and targets are shown as a kernel without the key shows them" {
    mkdir -p t/d t/plain
    local short="sixteen letters!" long uuid=01234567-89ab-cdef-0123-456789abcdef
    long=$(printf 'x%.0s' $(seq 150))yz
    : >t/d/tiny
    echo secret >"t/d/$short"
    echo secret >"t/d/$long"
    ln -s "$(printf '\020')0123456789abcdefgh" t/d/"a symlink to somewhere"
    for features in dir_index ^dir_index; do
        mke2fs -q -F -t ext4 -b 1024 -O "^metadata_csum,$features" -U $uuid -E hash_seed=$uuid -d t e.img 4M >/dev/null 2>&1
        # struct fscrypt_symlink_data: a length of 16 bits, and the target.
        printf 'sif "/d/a symlink to somewhere" block[0] 0x30000010\nsif "/d/a symlink to somewhere" flags 0x800\n
            sif "/d/%s" flags 0x80800\nsif /d flags 0x80800\n' "$short" >commands
        debugfs -w -f commands e.img >/dev/null 2>&1
        rm -f want
        for name in "$short" "$long" "a symlink to somewhere"; do
            NAME=$name HASHES=$(debugfs -R "dx_hash -h half_md4 -s $uuid \"$name\"" e.img 2>/dev/null) python3 - $features >>want <<'END'
import base64, hashlib, os, re, struct, sys
name = os.environ["NAME"].encode()
hashes = re.findall(r"0x([0-9a-f]+)", os.environ["HASHES"])
hashes = [int(h, 16) for h in hashes] if sys.argv[1] == "dir_index" else [0, 0]
tail = hashlib.sha256(name[149:]).digest() if len(name) > 149 else b""
print(base64.urlsafe_b64encode(struct.pack("<II", *hashes) + name[:149] + tail).decode().rstrip("="))
END
        done
        run --separate-stderr rootlet ls -1 e.img:/d
        failed 1 'e.img:/d: list: a name that is too short to be encrypted'
        diff <(echo "$output") <(LC_ALL=C sort want)
        name=$(tail -1 want)
        rootlet stat "e.img:/d/$name" | grep -q "Inode:"
        rootlet ls -l "e.img:/d/$name" | grep -q -- ' -> AAAAAAAAAAA'
        run --separate-stderr rootlet cat "e.img:/d/$(head -1 want)"
        failed 1 'it is encrypted'
        for verb in tar manifest "cp -r"; do
            run --separate-stderr rootlet $verb e.img:/ $([ "$verb" = manifest ] || echo out)
            [ "$status" = 1 ] && grep -q 'it is encrypted' <<<"$stderr"
        done
    done
}
