#!/usr/bin/env bats
# Images that were not cleanly unmounted: debugfs writes transactions into their journals, and what is shown is what
# e2fsck's replay makes of a copy.
load helper

# unclean PACK-OPTION...: u.img with three blocks of /file replaced in its journal, one of them beginning with the
# journal's magic, one revoked afterwards, one in a transaction without a commit.
unclean() {
    mkdir -p t
    seq 5000 >t/file
    rootlet pack -q -o u.img --size 20M "$@" t
    for i in 0 1 2 3; do block[i]=$(debugfs -R "bmap /file $i" u.img 2>/dev/null); done
    { printf '\xc0\x3b\x39\x98'; head -c 8192 /dev/zero | tr '\0' X; } >magic
    head -c 8192 /dev/zero | tr '\0' Y >plain
    printf '%s\n' "$OPEN" "jw -b ${block[0]} plain" "jw -b ${block[1]} magic" "jw -b ${block[2]} plain" \
        "jw -r ${block[2]}" "jw -c -b ${block[3]} plain" jc >commands
    debugfs -w -f commands u.img >debugfs.log 2>&1
}

# What e2fsck makes of a copy.
repair() {
    cp u.img fixed.img
    e2fsck -fy fixed.img >fsck.log 2>&1 || [ $? = 1 ]
    grep -q 'recovering journal' fsck.log
}

@test "a journal of any kind is replayed in memory" {
    local kinds=0
    while read -r OPEN _ options; do
        OPEN=${OPEN//_/ }
        unclean $options
        repair
        cp --preserve u.img same.img
        rootlet cat u.img:/file 2>told >seen
        grep -q 'u.img: was not cleanly unmounted: shown as it is after a replay of its journal' told
        rootlet cat fixed.img:/file | cmp - seen
        # Not as it was, and the block that begins with the magic is among what changed.
        refute cmp -s t/file seen
        grep -aq "$(printf '\xc0\x3b\x39\x98')X" seen
        grep -q Y seen
        rootlet cat --no-replay u.img:/file 2>told | cmp - t/file
        grep -q 'shown without what is only in its journal' told
        # So is what all else makes of it.
        rootlet diff -q --content u.img fixed.img 2>/dev/null
        rm -rf out
        rootlet cp -r u.img:/ out 2>/dev/null
        cmp seen out/file
        rootlet tar u.img 2>/dev/null | tar -xO ./file | cmp - seen
        rootlet pack -q -o packed.img u.img 2>/dev/null
        rootlet cat packed.img:/file | cmp - seen
        cmp u.img same.img
        [ "$(stat -c %Y u.img)" = "$(stat -c %Y same.img)" ]
        kinds=$((kinds + 1))
    done <<'END'
jo_-c_-v_3 -- --fs ext4
jo_-c_-v_2 -- --fs ext4
jo_-c -- --features ^metadata_csum,^64bit
jo_-c_-v_2 -- --features ^metadata_csum
jo -- --features ^metadata_csum,^64bit
jo -- --fs ext3
jo_-c -- --block-size 1024 --features ^64bit
jo_-c -- --block-size 2048
END
    [ $kinds = 8 ]
}

@test "metadata in the journal: an inode table, a directory and the superblock come from there" {
    mkdir -p t/dir
    echo one >t/dir/file
    rootlet pack -q -o old.img --size 20M t
    # The same image after changes, and the blocks that they changed.
    cp old.img new.img
    printf 'set_super_value free_blocks_count 7\nsif /dir/file mode 0100640\nln /dir/file /dir/other\n' |
        debugfs -w -f - new.img >/dev/null 2>&1
    journal
    refute rootlet cat --no-replay u.img:/dir/other
    [ "$(rootlet cat -q u.img:/dir/other 2>/dev/null)" = one ]
    rootlet ls -l u.img:/dir/file 2>/dev/null | grep -q '^-rw-r-----'
    [ "$(rootlet info --json u.img 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["free_blocks"])')" = 7 ]
    # All verbs agree, and an image made from it has the same.
    rootlet diff -q u.img new.img 2>/dev/null
    rootlet pack -q -o packed.img u.img
    rootlet diff --content packed.img new.img
    rootlet tar u.img 2>/dev/null | tar tf - | grep -q 'dir/other$'
    rootlet cp u.img:/dir/other out 2>/dev/null
    [ "$(cat out)" = one ]
    run rootlet diff --no-replay u.img new.img
    [ "$status" = 1 ]
}

@test "journals that cannot be replayed are refused, and --no-replay goes without" {
    OPEN='jo -c'
    unclean
    journal=$(($(debugfs -R 'bmap <8> 0' u.img 2>/dev/null) * 4096))
    cp u.img good.img
    broken() {
        run --separate-stderr rootlet ls u.img
        failed 1 "u.img: replay its journal: $1"
        rootlet ls --no-replay u.img 2>/dev/null | grep -qx file
        cp good.img u.img
    }
    poke() { printf "$2" | dd of=u.img bs=1 seek=$((journal + $1)) conv=notrunc status=none; }
    poke 0 XXXX
    broken 'it has no superblock'
    poke 12 '\0\0\4\0'
    broken 'it has another block size'
    poke 40 '\377'
    broken 'it has features that are not known'
    poke 100 X
    broken "its superblock's checksum is wrong"
    # A block of the first transaction, whose commit block says that it is whole.
    poke 8192 Z
    broken 'the checksum of a block in it is wrong'
    debugfs -w -R 'set_super_value journal_inum 0' u.img >/dev/null 2>&1
    broken 'it is on another device'
    debugfs -w -R 'set_super_value journal_inum 12' u.img >/dev/null 2>&1
    broken 'the journal has a hole'
    # A commit block that is not whole: the transactions before it count, as for e2fsck.
    poke $((3 * 4096 + 60)) X
    rootlet cat u.img:/file >seen 2>/dev/null
    repair
    rootlet cat fixed.img:/file | cmp - seen
}

@test "fast commits that follow the last transaction are refused; older ones count for nothing" {
    mkdir t
    seq 3000 >t/file
    mke2fs -q -F -t ext4 -b 1024 -O fast_commit,^metadata_csum -d t u.img 20M >/dev/null 2>&1
    head -c 1024 /dev/zero | tr '\0' X >data
    printf '%s\n' jo "jw -b $(debugfs -R 'bmap /file 0' u.img 2>/dev/null) data" jc >commands
    debugfs -w -f commands u.img >debugfs.log 2>&1
    rootlet cat u.img:/file 2>told >seen
    head -c 1024 seen | cmp - data
    # The area is the last blocks of the journal, without its first (jbd2_journal_load(): j_fc_first).
    for kind in "3 next" "2 last" "9 far"; do
        python3 - ${kind% *} "$(debugfs -R 'bmap <8> 0' u.img 2>/dev/null)" <<'END'
import struct, sys
with open("u.img", "r+b") as f:
    journal = int(sys.argv[2]) * 1024
    f.seek(journal)
    s = f.read(1024)
    last, sequence, fast = struct.unpack(">I", s[16:20])[0], struct.unpack(">I", s[24:28])[0], struct.unpack(">I", s[84:88])[0]
    assert fast
    # What the kernel's first mount does: JBD2_FEATURE_INCOMPAT_FAST_COMMIT.
    f.seek(journal + 40)
    f.write(struct.pack(">I", struct.unpack(">I", s[40:44])[0] | 0x20))
    f.seek(journal + (last - fast + 1) * 1024)
    # struct ext4_fc_tl: EXT4_FC_TAG_HEAD, its length; struct ext4_fc_head: features, transaction.
    f.write(struct.pack("<HHII", 9, 8, 0, sequence - 2 + int(sys.argv[1])))
END
        if [ "$kind" = "3 next" ]; then
            run --separate-stderr rootlet cat u.img:/file
            failed 1 'u.img: replay its journal: it has fast commits, which are not supported'
            rootlet cat --no-replay u.img:/file 2>told | cmp - t/file
        else
            rootlet cat u.img:/file 2>told | cmp - seen
        fi
    done
}
