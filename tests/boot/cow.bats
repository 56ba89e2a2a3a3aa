#!/usr/bin/env bats
# COW files that UML writes to, made by rootlet and by UML itself.
load helper

# A guest that works on its second disk and powers off.
setup_file() {
    cd "$BATS_FILE_TMPDIR"
    cat >work <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
mkdir /tmp/b
mount /dev/ubdb /tmp/b && cd /tmp/b || poweroff -f
for i in $(seq 300); do echo "file $i" >"file-$i"; done
rm old-1*
echo more >>old-2
mkdir -p a/b/c
dd if=/dev/zero of=zeros bs=4096 count=50 2>/dev/null
dd if=/dev/urandom of=random bs=4096 count=200 2>/dev/null
rm file-1*
find . -type f | sort | xargs md5sum >/tmp/sums
cp /tmp/sums SUMS
cd /
umount /tmp/b && echo DONE >/dev/console
poweroff -f
END
    build_box <<'END'
summary   = "works on its second disk"
path "/sbin/work" { source = "work"  mode = 0755 }
disk "root" { free = 1M }
END
    mkdir src
    for i in $(seq 40); do echo "old $i" >src/old-$i; done
    rootlet pack -q -o base.ext4 --free 8M src
}

setup() {
    cd "$BATS_FILE_TMPDIR"
    rm -f ./*.cow
}

guest() { # UBD1
    timeout 60 "$kernel" ubd0r=box/root.ext4 "ubd1=$1" root=/dev/ubda init=/sbin/work mem=64M quiet \
        con=null con0=null,fd:1 uml_dir="$PWD/uml" </dev/null >console 2>&1 3>&- || :
    grep -q DONE console || { cat console; return 1; }
    refute grep -E 'EXT4-fs (error|warning)|mismatch' console
}

# What the guest left on the disk.
check_disk() { # COW
    rootlet cp -r "$1:/" out
    (cd out && grep -v SUMS SUMS | md5sum --quiet -c -)
    [ "$(find out -name 'file-*' | wc -l)" = 189 ]
    rootlet cow commit -q -o merged "$1"
    fsck merged
    rootlet diff -q merged "$1"
    if command -v uml_moo >/dev/null; then
        uml_moo "$1" theirs >/dev/null
        cmp theirs merged
        rm theirs
    fi
    rm -rf out
}

@test "UML takes a COW file of ours, and what it writes is read" {
    cp -p base.ext4 kept
    rootlet cow create -q ours.cow base.ext4
    guest ours.cow
    cmp base.ext4 kept
    check_disk ours.cow
    rootlet cow diff ours.cow >list
    grep -q ' /file-200$' list
    grep -q ' /random$' list
    refute grep -q ' /old-3$' list

    # Without what TRIM and equal bytes left there it is the same disk, for the guest too.
    rootlet cow compact -q ours.cow
    check_disk ours.cow
    guest ours.cow
    check_disk ours.cow

    cp ours.cow again.cow
    rootlet cow commit -q again.cow
    cmp base.ext4 merged
    guest again.cow
    check_disk again.cow
    cp -p kept base.ext4
}

@test "a COW file that UML makes is read, and gets another backing file" {
    guest theirs.cow,base.ext4
    check_disk theirs.cow
    cp -p base.ext4 moved.ext4
    rootlet cow rebase -q theirs.cow moved.ext4
    guest theirs.cow
    check_disk theirs.cow
}

@test "run takes COW files as disks" {
    cp box/root.ext4 r.ext4
    rootlet cow create -q r.cow r.ext4
    cp -p r.ext4 kept.ext4
    [ "$(rootlet run --kernel "$kernel" r.cow -- sh -c 'echo written >/new; cat /new')" = written ]
    [ "$(rootlet cat r.cow:/new)" = written ]
    cmp r.ext4 kept.ext4
    [ "$(stat -c %y r.ext4)" = "$(stat -c %y kept.ext4)" ]
    rootlet cow create -q d.cow base.ext4
    rootlet run --kernel "$kernel" box/root.ext4 --disk d.cow -- sh -c 'mount /dev/ubdb /mnt && rm /mnt/old-1'
    run -1 --separate-stderr rootlet diff base.ext4 d.cow
    [ "$output" = "M /  time
D /old-1" ]
    # Read only, by somebody who may not write to it.
    chmod a-w d.cow
    cp -p d.cow kept.cow
    as_reader=()
    [ "$(id -u)" != 0 ] || as_reader=(setpriv --bounding-set=-dac_override --inh-caps=-dac_override)
    "${as_reader[@]}" "$ROOTLET" run --ephemeral --kernel "$kernel" box/root.ext4 --disk d.cow,ro -- \
        sh -c 'mount -o ro /dev/ubdb /mnt && [ ! -e /mnt/old-1 ] && [ -e /mnt/old-2 ]'
    cmp d.cow kept.cow
    [ "$(stat -c %y d.cow)" = "$(stat -c %y kept.cow)" ]
    chmod u+w d.cow
    # One that is in use is not copied.
    python3 -c 'import fcntl, time; f = open("d.cow", "r+"); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); time.sleep(60)' >held 3>&- &
    for _ in $(seq 100); do [ ! -s held ] || break; sleep 0.1; done
    run --separate-stderr rootlet run --ephemeral --kernel "$kernel" box/root.ext4 --disk d.cow -- true
    kill $!
    failed 125 "d.cow: copy: in use by process $!"
    # As a commit that was cut short leaves it, which UML would refuse with a panic.
    printf '\377\377\377\377' | dd of=d.cow bs=1 seek=8 conv=notrunc status=none
    run --separate-stderr rootlet run --kernel "$kernel" box/root.ext4 --disk d.cow -- true
    failed 125 "d.cow: use as a disk: a commit of it was cut short"
}

@test "what a guest writes to a COW file can be forgotten, or go to another one, too" {
    skip_without_uml
    cp box/root.ext4 r.ext4
    cp base.ext4 d.ext4
    for disk in r d; do
        rootlet cow create -q $disk.cow $disk.ext4
    done
    rootlet run --kernel "$kernel" r.cow --disk d.cow -- sh -c 'mount /dev/ubdb /mnt && echo 1 >/mnt/one && echo 1 >/one'
    for file in r.ext4 d.ext4 r.cow d.cow; do cp -p $file kept.$file; done
    untouched() {
        for file in r.ext4 d.ext4 r.cow d.cow; do
            cmp $file kept.$file
            [ "$(stat -c %y $file)" = "$(stat -c %y kept.$file)" ]
        done
    }
    again='mount /dev/ubdb /mnt && cat /one /mnt/one && for i in / /mnt/; do echo 2 >${i}two && rm ${i}one; done'
    for _ in 1 2; do
        run --separate-stderr rootlet run --ephemeral --kernel "$kernel" r.cow --disk d.cow \
            --collect /two=two --collect /mnt/two=three -- sh -c "$again"
        echo "$stderr"
        [ "$output" = $'1\n1' ]
        [ -z "$stderr" ]
        untouched
        [ "$(cat two three)" = $'2\n2' ]
        rm two three
    done
    # Relative, and from another folder.
    mkdir elsewhere
    (cd elsewhere; "$ROOTLET" run --ephemeral --snapshot ../s.cow --kernel "$kernel" ../r.cow --disk ../d.cow -- sh -c "$again")
    untouched
    [ "$(rootlet cat s.cow:/two)" = 2 ]
    rootlet check -q s.cow
    # It goes on where it stopped, without what it was made of.
    "$ROOTLET" run --snapshot s.cow --kernel "$kernel" r.ext4 -- sh -c '[ -e /two ] && [ ! -e /one ] && echo 3 >/three'
    [ "$(rootlet cat s.cow:/three)" = 3 ]
    untouched
}
