#!/usr/bin/env bats
# ls: as ls(1) prints it, of what is in an image.
load helper

make_names() {
    mkdir -p d/sub
    for i in $(seq 40); do echo $i >"d/$(printf "%0$((i % 17 + 1))d" $i)"; done
    touch d/größe d/日本語 d/é
    ln -s sub d/link
    ln -s nowhere d/none
    mkfifo d/pipe
    echo x >d/prog
    chmod 755 d/prog
    touch d/.dot
    rootlet pack -q -o i.ext4 d
    mkdir d/lost+found
}

@test "columns are those of ls" {
    make_names
    export LC_ALL=C.UTF-8
    for width in 1 20 40 79 80 81 100 132 500; do
        for options in -C "-C -a" "-C -A" "-C -r" "-C -F" "-C -p"; do
            # ls sorts by the locale, and takes blanks only with -T 0.
            LC_COLLATE=C ls $options -N -T 0 -w $width d >theirs
            COLUMNS=$width rootlet ls $options i.ext4 >ours
            diff theirs ours
        done
    done
}

@test "in columns on a terminal, one below the other elsewhere" {
    make_names
    [ "$(rootlet ls i.ext4 | wc -l)" = "$(ls d | wc -l)" ]
    script -qec "stty cols 100; $ROOTLET ls i.ext4" /dev/null </dev/null | tr -d '\r' | sed 's/\x1b\[[0-9;]*m//g' >seen
    COLUMNS=100 rootlet ls -C i.ext4 | diff - seen
    script -qec "$ROOTLET ls -1 i.ext4" /dev/null </dev/null >seen
    [ "$(wc -l <seen)" = "$(ls d | wc -l)" ]
    # The last of them counts.
    [ "$(rootlet ls -C1 i.ext4 | wc -l)" = "$(ls d | wc -l)" ]
    COLUMNS=100 rootlet ls -1C i.ext4 | diff - <(COLUMNS=100 rootlet ls -C i.ext4)
    rootlet ls -Cl i.ext4 | diff - <(rootlet ls -l i.ext4)
    COLUMNS=100 rootlet ls -lC i.ext4 | diff - <(COLUMNS=100 rootlet ls -C i.ext4)
    rootlet ls -C0 i.ext4 | tr '\0' '\n' | diff - <(rootlet ls i.ext4)
    rootlet ls -C --json i.ext4 | diff - <(rootlet ls --json i.ext4)
}

@test "what a name's characters take, and what is escaped" {
    mkdir d
    touch d/$'a\nb' d/$'\xff' d/plain d/x
    rootlet pack -q -o i.ext4 d
    COLUMNS=80 run -0 rootlet ls -C i.ext4
    [ "$output" = 'a\nb  lost+found  plain  x  \xff' ]
    COLUMNS=20 run -0 rootlet ls -C i.ext4
    [ "$output" = 'a\nb        x
lost+found  \xff
plain' ]
}

@test "files that are named come first, each kind in order" {
    make_names
    run -0 --separate-stderr rootlet ls i.ext4:/sub i.ext4:/prog i.ext4:/17
    [ "$output" = "/17
/prog

/sub:" ]
    run -0 --separate-stderr rootlet ls -d 'i.ext4:/[ls]*'
    [ "$output" = "/link
/lost+found
/sub" ]
    run -0 --separate-stderr rootlet ls -dF 'i.ext4:/[lnps]*'
    [ "$output" = "/link@
/lost+found/
/none@
/pipe|
/prog*
/sub/" ]
    rootlet ls -lF i.ext4 | grep -q ' link -> sub$'
    rootlet ls -n i.ext4 | diff - <(rootlet ls -l i.ext4)
    cp i.ext4 j.ext4
    run -0 --separate-stderr rootlet ls i.ext4:/sub j.ext4:/prog
    [ "$output" = "j.ext4:/prog

i.ext4:/sub:" ]
    run -1 --separate-stderr rootlet ls i.ext4:/prog i.ext4:/missing
    [ "$output" = /prog ]
    failed 1 "i.ext4:/missing"
}

@test "sizes for people are those of ls" {
    local size=1
    mkdir d
    while [ $size -lt 4000000000000 ]; do
        truncate -s $size d/$size
        size=$((size * 17 / 16 + 1))
    done
    for size in 1K 10K 1M 10M 1G 1T; do
        size=$(numfmt --from=iec $size)
        for near in $((size - 1)) $size $((size + 1)) $((size * 99 / 10)) $((size * 99 / 10 + 1)); do
            truncate -s $near d/$near
        done
    done
    rootlet pack -q -o i.ext4 d
    rootlet ls -lh i.ext4 | awk '$NF ~ /^[0-9]/ { print $5, $NF }' >ours
    ls -lh d | awk 'NR > 1 { print $5, $NF }' | LC_ALL=C sort -k 2 >theirs
    diff theirs <(LC_ALL=C sort -k 2 ours)
    [ "$(wc -l <ours)" -gt 300 ]
}

@test "colours, where they are wanted" {
    make_names
    tell() { script -qec "$1" /dev/null </dev/null | tr -d '\r'; }
    unset NO_COLOR
    export TERM=xterm
    for verb in ls tree; do
        rootlet $verb --color=always i.ext4 >seen
        grep -q $'\e\\[1;34msub\e\\[0m' seen
        grep -q $'\e\\[1;32mprog\e\\[0m' seen
        # What is plain has none.
        grep 'größe' seen | refute grep -q $'\e'
        rootlet $verb --color i.ext4 | diff seen -
        sed 's/\x1b\[[0-9;]*m//g' seen | diff - <(rootlet $verb i.ext4)
        rootlet $verb i.ext4 >plain
        rootlet $verb --color=auto i.ext4 | diff plain -
        [ $verb = tree ] || verb="ls -1"
        tell "$ROOTLET $verb i.ext4" | diff seen -
        NO_COLOR= tell "$ROOTLET $verb i.ext4" | diff seen -
        for without in "NO_COLOR=1 $ROOTLET $verb" "TERM=dumb $ROOTLET $verb" "$ROOTLET $verb --color=never"; do
            tell "$without i.ext4" | diff plain -
        done
        NO_COLOR=1 rootlet $verb --color=always i.ext4 | diff seen -
    done
    run -2 --separate-stderr rootlet ls --color=some i.ext4
    failed 2 "--color takes auto, always or never, not 'some'"
}

@test "a + behind the mode is where ls has one" {
    mkdir -p d/plain d/sub d/default
    touch d/{a,b,c,sub/x} d/plain/{y,z}
    ln -s a d/link
    setfacl -m u:12:r-x d/b d/sub
    setfacl -d -m g:7:rwx d/default
    setfattr -n user.note -v some d/c
    # What all of them share is in a block; more than an inode has room for, too.
    for i in 1 2 3; do cp d/a d/sub/$i; setfacl -m u:1:r,u:2:r,u:3:r,u:4:r,u:5:r,u:6:r,u:7:r,u:8:r d/sub/$i; done
    for fs in ext2 ext4; do
        rootlet pack -q --fs $fs -o i.ext4 d
        for dir in / /plain /sub /default; do
            ls -l d$dir | awk 'NR > 1 { print $1, $9 }' >theirs
            rootlet ls -l i.ext4:$dir | awk '$NF != "lost+found" { print $1, $8 }' | sort -k 2 | diff <(sort -k 2 theirs) -
            # The column is there where one has it, for all.
            [ "$(rootlet ls -l i.ext4:$dir | cut -c 11 | sort -u | tr -d '\n')" = "$(ls -l d$dir | sed 1d | cut -c 11 | sort -u | tr -d '\n')" ]
        done
        rm i.ext4
    done
}
