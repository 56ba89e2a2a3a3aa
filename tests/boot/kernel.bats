#!/usr/bin/env bats
# Disks that a guest's kernel has worked on in every way it has: what rootlet shows of them is what that kernel shows
# (worker.c), also of what rootlet packs from them. KERNEL=FILE: by another kernel than linux-um.
load helper

setup_file() {
    build_worker
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# The disks: a letter (those that are packed again come first), what is done to it, options of mke2fs. A kernel of 6.1 does not mount casefold without
# CONFIG_UNICODE, nor quota without CONFIG_QUOTA.
disks() {
    cat <<'END_OF_DISKS'
c work -t ext2 -r 0 -O none -b 1024
d work -t ext2 -b 2048 -I 128
e work -t ext3 -b 1024
f work -t ext4
g work -t ext4 -b 1024 -O ^metadata_csum,^64bit,uninit_bg
h work -t ext4 -O bigalloc -C 16384
i work -t ext4 -O inline_data
j work -t ext4 -O inline_data -b 1024 -I 512
k work -t ext4 -O ea_inode,encrypt
l work -t ext4 -b 2048 -O meta_bg,^resize_inode,sparse_super2,orphan_file,fast_commit
m many -t ext4 -b 1024 -O large_dir -N 60000
n far -t ext4
o far -t ext4 -b 1024 -O bigalloc -C 65536
p far -t ext3 -b 1024
END_OF_DISKS
}

# guest DISKS OPTION...: boots with c.img, d.img, ... or what stands in $dir; what the guest lists gets into c.M, ...
guest() {
    local letters=$1 words=() letter
    shift
    truncate -s 0 list.raw
    truncate -s 64M list.raw
    for letter in $(grep -o . <<<"$letters"); do words+=(--disk "$dir$letter.img"); done
    for word in "disks=$letters" list=b quiet init=/init "$@"; do words+=(--append "$word"); done
    boot --kernel "$kernel" --mem 128M root.ext4 --disk list.raw "${words[@]}"
    grep -q 'ALL DONE' console || { cat console err; return 1; }
    rm -f ?.want-?
    tr -d '\0' <list.raw | awk '/^DISK / {disk = $2; next} {kind = $1; sub(/^. /, ""); print >(disk ".want-" kind)}'
    [ -e "${letters: -1}.want-END" ]
}

# same FILE WHAT DISK: what is on standard input has the file's lines.
same() {
    # The guest says nothing of what JSON has beside names that are not UTF-8.
    LC_ALL=C sed 's/,"[a-z]*_base64":"[^"]*"//g' | LC_ALL=C sort >seen
    LC_ALL=C sort "$1" | diff - seen >difference || { echo "$3: $2:"; cut -c1-1000 difference | head; return 1; }
}

@test "what a kernel wrote is shown as the kernel shows it" {
    skip_without_uml
    kernel=${KERNEL:-$(rootlet package --recipes "$BATS_TEST_DIRNAME/../.." linux-um)/boot/linux}
    local all='' words=() letter what options file sum copies=''
    while read -r letter what options; do
        mke2fs -q -F $options "$letter.img" 96M >mke2fs.log 2>&1 || { cat mke2fs.log; return 1; }
        all+=$letter
        [ "$what" != far ] || words+=("far_$letter=1")
        [ "$what" != many ] || words+=("many_$letter=50000")
    done < <(disks)
    dir= guest "$all" work=2500 "${words[@]}"
    # All that it can do was done, and everywhere what that kind of disk has.
    for what in append overwrite pieces truncate fallocate keep-size punch zero-range collapse insert sync rename \
        remove link symlink mkdir special xattr unset acl capability mode owner times; do
        grep -q "^done on f:.* $what=[1-9]" console || { echo "no $what"; cat console; return 1; }
    done
    grep -qx 'far 8.*' console

    while read -r letter what options; do
        sha256sum "$letter.img" >before
        rootlet find --json "$letter.img" | same "$letter.want-F" find "$letter ($options)"
        if [ "$what" != many ]; then
            rootlet find -0 "$letter.img" | sed -z "s/^/$letter.img:/" | xargs -0 "$ROOTLET" stat >stats
            awk '/^  Size:/ {blocks = $4; inode = $6}
                $1 ~ /Access:|Change:/ && $4 == "UTC" {sub(/.*\./, "", $3); gsub(/[()]/, "", $5); time[$1] = $5 "." $3}
                /^Change:/ {print inode, blocks, time["Access:"], time["Change:"]}' stats |
                same "$letter.want-B" stat "$letter ($options)"
        fi
        if [ "$what" != far ]; then
            rootlet manifest --format json "$letter.img" | same "$letter.want-M" manifest "$letter ($options)"
            [ "$what" = many ] || [ "$(wc -l <"$letter.want-M")" -gt 300 ]
            rootlet pack -q -o "copy-$letter.img" --features ea_inode "$letter.img"
            fsck "copy-$letter.img"
            rootlet diff --content "$letter.img" "copy-$letter.img"
            cp "$letter.want-M" "copy-$letter.want"
            copies+=$letter
        else
            mkdir "out-$letter"
            rootlet tar "$letter.img:/far" | tar -xf - -C "out-$letter"
            [ "$(wc -l <"$letter.want-S")" -ge 7 ]
            while read -r file sum; do
                rm -f out
                rootlet cp "$letter.img:$file" out
                [ "$(./worker sum out)" = "$sum" ] || { echo "cp $letter: $file"; return 1; }
                [ "$(./worker sum "out-$letter/${file##*/}")" = "$sum" ] || { echo "tar $letter: $file"; return 1; }
            done <"$letter.want-S"
        fi
        sha256sum --check --quiet before
    done < <(disks)

    # Packed again, the kernel shows the same.
    dir=copy- guest "$copies"
    for letter in $(grep -o . <<<"$copies"); do
        same "copy-$letter.want" "the packed copy" "$letter" <"$letter.want-M"
    done
}
