#!/usr/bin/env bats
# check: what is sound and what is broken, judged by e2fsck -fn; and what is said about it.
load helper

# A folder with whatever an image can hold that a plain user can make.
make_tree() {
    mkdir -p t/dir/sub t/many
    printf 'x%.0s' $(seq 9000) >t/dir/file
    echo other >t/other
    ln t/other t/dir/hard
    ln -s ../file t/dir/soft
    ln -s "$(printf 'long/%.0s' $(seq 40))" t/dir/long
    mkfifo t/dir/fifo
    : >t/none
    head -c 200000 /dev/zero | tr '\0' y >t/large
    truncate -s 4M t/sparse
    for i in $(seq 0 40); do printf z | dd of=t/sparse bs=1 seek=$((i * 100000)) conv=notrunc status=none; done
    for i in $(seq 400); do : >"t/many/a-name-of-some-length-$i"; done
    setfattr -n user.note -v some t/dir/file
    for f in t/large t/other; do setfattr -n user.large -v "$(printf 'y%.0s' $(seq 400))" $f; done
    setfacl -m u:1234:r-x t/large
}

# Both say the same of an image. e2fsck forgets some of what it asks about, and has status 0 then.
agree() {
    local ours=0 theirs=0
    timeout 60 "$ROOTLET" check "$1" >ours 2>&1 || ours=$?
    e2fsck -fn "$1" >theirs 2>&1 || theirs=$?
    [ $theirs != 0 ] || ! grep -qE '\? no|IGNORED' theirs || [ $ours = 0 ] || theirs=4
    [ $ours -le 1 ] && [ $((ours != 0)) = $((theirs != 0)) ] || { echo "$1: $ours, $theirs"; cat ours theirs; return 1; }
}

@test "images that are sound, whatever their features" {
    make_tree
    n=0
    while read -r options; do
        rootlet pack -q -o a.img $options t
        run -0 --separate-stderr rootlet check a.img
        [[ $output == "a.img: sound: "[0-9]*" inodes, "[0-9]*" blocks" ]] || { echo "$options: $output"; false; }
        agree a.img
        n=$((n + 1))
    done <<'END'
--fs ext4
--fs ext4 --features inline_data,ea_inode
--fs ext4 --features orphan_file,metadata_csum_seed
--fs ext4 --features ^metadata_csum,uninit_bg
--fs ext4 --block-size 1024 --features large_dir,^64bit
--fs ext4 --features ^extent,^64bit,^flex_bg
--fs ext3 --block-size 1024
--fs ext2 --block-size 2048
END
    while read -r options; do
        rm -f a.img
        mke2fs -q $options -d t a.img 60M >mke2fs.log 2>&1 || { cat mke2fs.log; false; }
        # What mke2fs writes as quotas is not what the files have.
        [[ $options != *quota* ]] || { e2fsck -fy a.img >/dev/null 2>&1 || :; }
        run -0 --separate-stderr rootlet check a.img
        [[ $output == *"a.img: sound: "* ]] || { echo "$options: $output"; false; }
        agree a.img
        n=$((n + 1))
    done <<'END'
-t ext2 -b 1024 -I 128
-t ext2 -r 0 -I 128 -O none
-t ext3 -b 4096
-t ext4 -b 1024 -g 1024
-t ext4 -O bigalloc -C 16384 -b 1024
-t ext4 -O inline_data,ea_inode
-t ext4 -O quota,project -E quotatype=usrquota:grpquota:prjquota
-t ext4 -O meta_bg,^resize_inode
-t ext4 -O sparse_super2
-t ext4 -O ^sparse_super,^resize_inode
-t ext4 -O casefold
-t ext4 -O encrypt,verity
-t ext4 -O orphan_file
-t ext4 -O ^metadata_csum,uninit_bg
-t ext4 -O ^flex_bg,^64bit
-t ext4 -O mmp
-t ext4 -O metadata_csum_seed,fast_commit
END
    [ $n = 25 ]
}

# broken IMAGE COMMAND TEXT: debugfs's command makes of a copy of the image what is told by a line with the text.
broken() {
    cp "$1" b.img
    debugfs -w -R "$2" b.img >/dev/null 2>&1
    run --separate-stderr timeout 60 "$ROOTLET" check b.img
    [ "$status" = 1 ] && [[ $output == *"$3"* ]] || { echo "$2: $output$stderr"; return 1; }
    [[ ${lines[-1]} == "b.img: broken: "*" problem"* ]]
    agree b.img
}

inode() {
    rootlet stat --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["inode"])'
}

@test "inodes that are damaged are told by number, path and what is wrong" {
    make_tree
    n=0
    for features in metadata_csum ^metadata_csum; do
        rootlet pack -q -o a.img --size 20M --features $features t
        file=$(inode a.img:/dir/file) fifo=$(inode a.img:/dir/fifo) dir=$(inode a.img:/dir)
        block=$(debugfs -R 'bmap /dir/file 0' a.img 2>/dev/null)
        large=$(debugfs -R 'bmap /large 0' a.img 2>/dev/null)
        while IFS='|' read -r command text; do
            command=${command//LARGE/$large}
            text=${text//LARGE/$large} text=${text//FILE/$file} text=${text//FIFO/$fifo} text=${text//DIR/$dir}
            broken a.img "$command" "$text"
            n=$((n + 1))
        done <<'END'
sif /dir/file blocks 80|: inode: inode FILE (/dir/file): i_blocks is 80, but 24 are in use
sif /dir/file size 10|: inode: inode FILE (/dir/file): i_size is 10, but block 2 is in use
sif /dir/file links_count 3|: links: inode FILE (/dir/file): its link count is 3, but it has 1 name
sif /dir/file dtime 20300101|: inode: inode FILE (/dir/file): it is in use, but has a time of its deletion
sif /dir/file mode 0010644|: entry: inode DIR (/dir): the entry file (inode FILE) has another type than its inode
sif /dir/file mode 0|: inode: inode FILE (/dir/file): its mode is 0000000, which is no file's
sif /dir/file flags 0|: inode: inode FILE (/dir/file): extents without the flag for them
sif /dir/file file_acl 99999999|: xattr: inode FILE (/dir/file), block 99999999: its block of attributes is outside
sif /dir/file extra_isize 7|: inode: inode FILE (/dir/file): i_extra_isize is 7
sif /dir/file faddr 7|: inode: inode FILE (/dir/file): i_faddr is not 0
sif /dir/file block[0] 0|: map: inode FILE (/dir/file): its extents have no valid header
sif /dir/file block[4] 0|: the extent for block 0 has no blocks
sif /dir/file block[5] 0x7fffffff|: map: inode FILE (/dir/file), block 2147483647: the extent for block 0 is at a block outside of
sif /dir/file block[5] 1|: overlap: inode FILE (/dir/file): blocks 1 to 3 are in the file system
sif /dir/file block[5] LARGE|(/large): blocks LARGE to
sif /dir/fifo size 100|: inode: inode FIFO (/dir/fifo): a device, pipe or socket whose i_size is 100
sif /dir/soft size 3|(/dir/soft): a symlink whose i_size is 3, but its target has 7
sif /dir/long size 300|(/dir/long): a symlink whose i_size is 300, but its target has 200
sif /dir size 5000|: inode: inode DIR (/dir): i_size is 5000, which is no multiple of a block
sif /dir size 40960|: inode: inode DIR (/dir): i_size is 40960, but it has 1 blocks
sif / mode 0100755|: inode: inode 2 (/): the root is no directory
sif <8> mode 040755|: inode: inode 8: it is the journal, but its mode is 0040755
ssv journal_uuid 12345678-1234-1234-1234-123456789abc|: journal: inode 8: it is in the file system, but the superblock names
sif <5> mode 040755|: inode: inode 5: it is reserved, but its mode is 0040755
END
    done
    [ $n = 48 ]
}

@test "names, links, bitmaps and counts" {
    make_tree
    rootlet pack -q -o a.img --free 1M t
    file=$(inode a.img:/dir/file) dir=$(inode a.img:/dir) many=$(inode a.img:/many)
    block=$(debugfs -R 'bmap /dir/file 0' a.img 2>/dev/null)
    free=$(($(debugfs -R stats a.img 2>/dev/null | sed -n 's/^Block count: *//p') - 2))
    broken a.img 'clri /dir/file' ": entry: inode $dir (/dir): the entry file (inode $file) leads to an inode that is not in use"
    broken a.img 'unlink /dir/file' ": links: inode $file: it is in use, but has no name"
    broken a.img 'unlink /many' ": tree: inode $many: a directory without a name"
    broken a.img "ln <$dir> /second" ": tree: inode $dir (/dir): a directory with a second name, in inode 2 (/)"
    broken a.img "ln <2> /dir/root" 'the entry root (inode 2) leads to the directory itself, or to the root'
    broken a.img "ln <7> /dir/seven" 'the entry seven (inode 7) leads to an inode that cannot have a name'
    broken a.img "freeb $block" ": bitmap: group 0: block $block is in use, but free in the bitmap"
    broken a.img "setb $free" ": bitmap: group 0: block $free is not in use, but not free in the bitmap"
    broken a.img "freei <$file>" ": bitmap: group 0: inode $file is in use, but free in the bitmap"
    broken a.img 'set_bg 0 free_blocks_count 5' ' blocks are free in its bitmap, 5 in its descriptor'
    broken a.img 'set_bg 0 free_inodes_count 5' ' inodes are free in its bitmap, 5 in its descriptor'
    broken a.img 'set_bg 0 used_dirs_count 1' ': count: group 0: it has 5 directories, 1 in its descriptor'
    broken a.img 'set_bg 0 checksum 0x1234' ": checksum: group 0: its descriptor's checksum is 1234, not "
    broken a.img 'ssv first_ino 70000' ': superblock: its first ordinary inode is 70000'
    broken a.img 'ssv want_extra_isize 7' ': superblock: s_want_extra_isize is 7'

    # A directory below itself.
    cp a.img b.img
    printf 'ln <%s> /dir/sub/loop\nunlink /dir\n' "$dir" | debugfs -w -f - b.img >/dev/null 2>&1
    run -1 rootlet check b.img
    [[ $output == *": tree: inode $dir"*"a directory that is below itself"* ]]
    agree b.img
    # What the kernel counts anew is no problem, but told.
    cp a.img b.img
    debugfs -w -R 'ssv free_blocks_count 7' b.img >/dev/null 2>&1
    run -0 --separate-stderr rootlet check b.img
    [[ ${lines[0]} == "b.img: note: count: "*" blocks are free, 7 in the superblock" ]]
    [[ ${lines[1]} == "b.img: sound: "* ]]
    agree b.img
    run -0 --separate-stderr rootlet check -q b.img
    [ -z "$output$stderr" ]
}

@test "what e2fsck leaves alone is noted" {
    make_tree
    # A target as an attribute, and none.
    ln -s "$(printf 'x%.0s' $(seq 70))" t/inline
    ln -s a t/short
    mke2fs -q -t ext4 -O inline_data,^has_journal -d t a.img 20M >/dev/null 2>&1
    noted() {
        cp a.img b.img
        debugfs -w -R "$1" b.img >/dev/null 2>&1
        run -0 --separate-stderr rootlet check b.img
        [[ ${lines[0]} == "b.img: note: $2"* ]] || { echo "$output"; false; }
        agree b.img
    }
    noted 'sif /inline blocks 8' "inode: inode $(inode a.img:/inline) (/inline): i_blocks is 8, but 0 are in use"
    broken a.img 'sif /short blocks 8' ': overlap: inode '
    for number in 5 7 9; do
        noted "sif <$number> file_acl 99999999" "xattr: inode $number: its block of attributes is 99999999, which is outside"
        broken a.img "sif <$number> file_acl 300" ": xattr: inode $number, block 300: a block of attributes without its header"
    done
}

# poke IMAGE OFFSET BYTES
poke() {
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "checksums, attributes and indexes" {
    make_tree
    # No byte that is overwritten below is an X already.
    find t -exec touch -h -d @1600000000 {} +
    rootlet pack -q -o a.img --features ea_inode t
    told() {
        run -1 --separate-stderr timeout 60 "$ROOTLET" check b.img
        [[ $output == *"$1"* ]] || { echo "$1: $output$stderr"; return 1; }
        agree b.img
        cp a.img b.img
    }
    at() { echo $(($(debugfs -R "bmap $1 $2" a.img 2>/dev/null) * 4096)); }
    cp a.img b.img
    many=$(inode a.img:/many) sparse=$(inode a.img:/sparse)
    poke b.img $(($(at /dir 0) + 100)) X
    told ': checksum: inode '
    poke b.img $(($(at /many 0) + 36)) X
    told ": checksum: inode $many (/many): that of block 0 of its index is wrong"
    # The extents of a file in pieces are in a block of their own.
    tree=$(debugfs -R 'stat /sparse' a.img 2>/dev/null | sed -n 's/.*(ETB0):\([0-9]*\).*/\1/p')
    poke b.img $((tree * 4096 + 2000)) X
    told ": checksum: inode $sparse (/sparse), block $tree: that of a block of extents is wrong"
    acl=$(debugfs -R 'stat /large' a.img 2>/dev/null | sed -n 's/.*File ACL: \([0-9]*\).*/\1/p')
    poke b.img $((acl * 4096 + 4090)) X
    told "block $acl: that of a block of attributes is wrong"
    table=$(dumpe2fs a.img 2>/dev/null | sed -n 's/^  Inode table at \([0-9]*\).*/\1/p')
    poke b.img $((table * 4096 + (many - 1) * 256 + 8)) X
    told ": checksum: inode $many (/many): that of the inode is wrong"
    bitmap=$(dumpe2fs a.img 2>/dev/null | sed -n 's/^  Block bitmap at \([0-9]*\).*/\1/p')
    poke b.img $((bitmap * 4096)) '\0'
    told ': checksum: group 0: that of its block bitmap is wrong'
    # Without checksums the damage itself is found.
    rootlet pack -q -o a.img --features ^metadata_csum t
    cp a.img b.img
    acl=$(debugfs -R 'stat /large' a.img 2>/dev/null | sed -n 's/.*File ACL: \([0-9]*\).*/\1/p')
    poke b.img $((acl * 4096 + 4090)) X
    told ", block $acl: an attribute whose hash is wrong"
    poke b.img $((acl * 4096 + 4)) '\7'
    told ", block $acl: a block of attributes that 2 inodes have, but counts 7"
    poke b.img $((acl * 4096 + 35)) '\377'
    told ", block $acl: an attribute"
    poke b.img $(($(at /many 0) + 28)) '\7'
    told ": index: inode $many (/many): block 0 of its index: a hash that is not known"
    poke b.img $(($(at /many 0) + 34)) '\1'
    told ": index: inode $many (/many): block "
    poke b.img $(($(at /many 0) + 44)) '\377\377\377'
    told ': block 0 of its index: an entry for a block that is not there'
    poke b.img $(($(at /many 0) + 40)) '\2\0\0\0'
    told ': names whose hashes belong elsewhere'
    poke b.img "$(LC_ALL=C grep -abo soft b.img | head -n 1 | cut -d: -f1)" hard
    told ': the name hard twice'
    poke b.img $(($(at /dir 0) + 4)) '\7'
    told ': directory: inode '
    poke b.img $((bitmap * 4096 + 4095)) '\0'
    told ': bitmap: group 0: the block bitmap is not all ones behind its end'
}

@test "what the next mount deletes or truncates is told" {
    make_tree
    rootlet pack -q -o a.img t
    file=$(inode a.img:/dir/file)
    printf 'unlink /dir/file\nsif <%s> links_count 0\nssv last_orphan %s\n' $file $file | debugfs -w -f - a.img >/dev/null 2>&1
    run -1 --separate-stderr rootlet check a.img
    [ "${lines[0]}" = "a.img: orphan: inode $file: the orphan list has it: the next mount deletes it" ]
    [ "${lines[1]}" = 'a.img: broken: 1 problem' ]
    agree a.img
    rootlet pack -q -o a.img t
    for n in 6143 5 4000000000 $file; do
        debugfs -w -R "ssv last_orphan $n" a.img >/dev/null 2>&1
        run -0 --separate-stderr rootlet check a.img
        [[ ${lines[0]} == "a.img: note: orphan: "* ]]
        agree a.img
    done
    [ "${lines[0]}" = "a.img: note: orphan: inode $file (/dir/file): the orphan list has it: the next mount truncates it" ]
    cp a.img b.img
    debugfs -w -R "sif <$file> size 5000" b.img >/dev/null 2>&1
    agree b.img
    # Where it replays the journal too, there is nothing wrong with that.
    rootlet pack -q -o old.img --size 20M t
    cp old.img new.img
    file=$(inode new.img:/dir/file)
    printf 'unlink /dir/file\nsif <%s> links_count 0\nssv last_orphan %s\n' $file $file | debugfs -w -f - new.img >/dev/null 2>&1
    journal -c
    run -0 --separate-stderr rootlet check u.img
    [[ $output == *"u.img: note: orphan: inode $file: the orphan list has it: the next mount deletes it"* ]] || { echo "$output$stderr"; false; }
    e2fsck -y -E journal_only u.img >/dev/null 2>&1 || [ $? = 1 ]
    fsck u.img
    # A list that ends nowhere.
    debugfs -w -R "sif <$file> dtime @$file" a.img >/dev/null 2>&1
    run -1 --separate-stderr timeout 20 "$ROOTLET" check a.img
    [[ $output == *"the orphan list has it twice"* ]]
    # In a file instead of a list.
    rootlet pack -q -o a.img --size 40M --features orphan_file,^metadata_csum t
    orphans=$(od -An -tu4 -j $((1024 + 0x280)) -N 4 a.img | tr -d ' ') # s_orphan_file_inum
    poke a.img $(($(debugfs -R "bmap <$orphans> 0" a.img 2>/dev/null) * 4096)) "\\$(printf %o $file)"
    run -1 --separate-stderr rootlet check a.img
    [ "${lines[0]}" = "a.img: orphan: inode $file (/dir/file): the orphan file has it: the next mount truncates it" ]
    agree a.img
}

@test "quotas" {
    make_tree
    mke2fs -q -t ext4 -b 4096 -O quota -d t a.img 40M >/dev/null 2>&1
    e2fsck -fy a.img >/dev/null 2>&1 || :
    rootlet check a.img
    cp a.img b.img
    debugfs -w -R 'sif /dir/file uid 77' a.img >/dev/null 2>&1
    run -1 --separate-stderr rootlet check a.img
    [[ $output == *": quota: inode 3: user "*" has "*" bytes and "*" inodes, but "*" there"* ]]
    [[ $output == *": quota: inode 3: user 77 has files, but is not there"* ]]
    agree a.img
    cp b.img a.img
    poke a.img $(($(debugfs -R 'bmap <3> 0' a.img 2>/dev/null) * 4096)) XXXX
    run -1 --separate-stderr rootlet check a.img
    # e2fsck says nothing of that; the kernel does.
    [[ $output == *": quota: inode 3: the file of user quotas is none"* ]]
}

@test "an image is judged as its journal leaves it" {
    make_tree
    rootlet pack -q -o old.img --size 20M t
    cp old.img new.img
    debugfs -w -R 'sif /dir/file links_count 5' new.img >/dev/null 2>&1
    journal -c
    run -1 --separate-stderr rootlet check u.img
    [[ $output == *"(/dir/file): its link count is 5, but it has 1 name"* ]]
    [[ $stderr == *"shown as it is after a replay of its journal"* ]]
    run -0 --separate-stderr rootlet check --no-replay u.img
    [[ $output == *'u.img: sound: '* ]]
    # The other way round: the journal repairs.
    cp new.img u.img
    sed -i 's/^jw -b \([0-9]*\) .*/jw -b \1 old.\1/' commands
    for b in $(sed -n 's/^jw -b \([0-9]*\) .*/\1/p' commands); do dd if=old.img of=old.$b bs=4096 skip=$b count=1 status=none; done
    debugfs -w -f commands u.img >/dev/null 2>&1
    run -0 --separate-stderr rootlet check u.img
    run -1 --separate-stderr rootlet check --no-replay u.img
}

@test "several images, JSON, and what cannot be checked" {
    make_tree
    rootlet pack -q -o a.img t
    cp a.img b.img
    debugfs -w -R 'sif /dir/file links_count 3' b.img >/dev/null 2>&1
    run -1 --separate-stderr rootlet check a.img b.img a.img
    [ "$(printf '%s\n' "$output" | cut -d: -f1,2)" = "$(printf '%s\n' 'a.img: sound' 'b.img: links' 'b.img: broken' 'a.img: sound')" ]
    run -1 --separate-stderr rootlet check -q a.img b.img
    [ "${#lines[@]}" = 1 ]
    rootlet check --json a.img b.img >j || [ $? = 1 ]
    python3 - <<END
import json
rows = [json.loads(line) for line in open("j")]
assert [r["image"] for r in rows] == ["a.img", "b.img", "b.img"]
assert rows[0]["sound"] and rows[0]["problems"] == 0 and rows[0]["inodes"] > 400
assert rows[1]["kind"] == "links" and rows[1]["path"] == "/dir/file" and rows[1]["inode"] == $(inode a.img:/dir/file)
assert not rows[2]["sound"] and rows[2]["problems"] == 1
END
    cp a.img c.img
    truncate -s 100K c.img
    run -1 --separate-stderr rootlet check c.img a.img
    [[ $output == 'a.img: sound: '* ]]
    [ "$stderr" = 'rootlet: c.img: open: it is cut short: the file is smaller than the file system in it' ]
    run -1 --separate-stderr rootlet check nothing.img
    failed 1 'nothing.img: open: No such file'
    run -1 --separate-stderr rootlet check a.img:/dir
    failed 1 'a.img:/dir: check: an image is checked as a whole'
    run -2 --separate-stderr rootlet check
    failed 2 'which image?'
    rootlet pack -q -o c.img --features ^metadata_csum t
    poke c.img $((1024 + 103)) '\100' # s_feature_ro_compat
    run -1 --separate-stderr rootlet check c.img
    failed 1 'c.img: check: it has features that are not known'
    # Nothing is written.
    cp a.img b.img
    rootlet check b.img
    cmp a.img b.img
}

@test "much damage makes few lines, and large images are no work" {
    make_tree
    rootlet pack -q -o a.img t
    table=$(dumpe2fs a.img 2>/dev/null | sed -n 's/^  Inode table at \([0-9]*\).*/\1/p')
    head -c 100000 /dev/urandom | dd of=a.img bs=4096 seek=$((table + 1)) conv=notrunc status=none
    run -1 --separate-stderr timeout 60 "$ROOTLET" check a.img
    [ "${#lines[@]}" -lt 300 ]
    [[ $output == *'a.img: inode: '*' more of this kind'* ]]
    agree a.img
    truncate -s 1T large.img
    mke2fs -q -t ext4 -O ^has_journal -N 65536 -F large.img >/dev/null 2>&1
    run -0 --separate-stderr timeout 20 "$ROOTLET" check large.img
    [[ $output == 'large.img: sound: 11 inodes, '* ]]
}

@test "random damage: the same judgement as e2fsck's" {
    make_tree
    rm -r t/large t/sparse
    # Everywhere the same images, and so the same damage to them: e2fsck overlooks one thing in some thousands.
    find t -exec touch -h -d @1700000000 {} +
    n=0
    while read -r options; do
        n=$((n + 1))
        rootlet pack -q -o $n.img --owner 0:0 --block-size 1024 --size 2M $options t
        E2FSCK_TIME=1700000000 E2FSPROGS_FAKE_TIME=1700000000 e2fsck -fyD $n.img >/dev/null 2>&1 || :
    done <<'END'
--fs ext2
--fs ext4 --features ^metadata_csum,^has_journal
--fs ext4 --features ^has_journal
--fs ext4 --features ^metadata_csum,^has_journal,inline_data
--fs ext4 --features ^metadata_csum,^has_journal,uninit_bg
END
    cat >damage.py <<'END'
import os, random, re, subprocess, sys
rnd = random.Random(int(os.environ.get("SEED", "20")))
images = [open(f"{i}.img", "rb").read() for i in range(1, 6)]
live = [[k for k in range(0, len(d), 32) if any(d[k:k + 32])] for d in images]
verdicts = {False: 0, True: 0}

def run(*words):
    with open("out", "wb") as out:
        status = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60).returncode
    return status, open("out", "rb").read(1 << 20).decode(errors="replace")

for turn in range(int(os.environ.get("TURNS", "200"))):
    which = turn % 5
    image, what = bytearray(images[which]), []
    for _ in range(rnd.choice((1, 1, 2, 4))):
        at = rnd.choice(live[which]) + rnd.randrange(32)
        image[at] ^= 1 << rnd.randrange(8)
        what.append((at, image[at]))
    open("d.img", "wb").write(image)
    ours, text = run(os.environ["ROOTLET"], "check", "d.img")
    theirs, other = run("e2fsck", "-fn", "d.img")
    # It forgets some of what it asks about.
    broken = theirs != 0 or (ours == 1 and re.search(r"\? no|IGNORED", other) is not None)
    if ours not in (0, 1) or (ours != 0) != broken or len(text) > 100000:
        sys.exit(f"turn {turn}, {which + 1}.img, {what}: {ours}, {theirs}\n{text}\n{other}")
    verdicts[broken] += 1
assert verdicts[False] > 10 and verdicts[True] > 60, verdicts
END
    ROOTLET=$ROOTLET python3 damage.py
}
