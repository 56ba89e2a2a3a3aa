# What the bats files share. ROOTLET is the program; each test runs in an empty folder of its own.
ROOTLET=${ROOTLET:-$BATS_TEST_DIRNAME/../../rootlet}
PATH=$PATH:/usr/sbin:/sbin
bats_require_minimum_version 1.5.0

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    unset SOURCE_DATE_EPOCH
    umask 022
}

rootlet() {
    "$ROOTLET" "$@"
}

# A skip that is an error in CI, where every tool is there.
skip_unless() {
    if ! eval "$1" >/dev/null 2>&1; then
        [ -z "${CI:-}" ] || { echo "missing in CI: $2"; return 1; }
        skip "$2"
    fi
}

# The command fails. A bare "!" does not fail a test, unless it is in its last line.
refute() {
    ! "$@"
}

# The image is sound in e2fsck's eyes.
fsck() {
    e2fsck -fn "$1" >fsck.log 2>&1 || { cat fsck.log; return 1; }
    refute grep -E 'Fix|optimi|should be|WARNING' fsck.log
}

# The last run failed with one line on stderr that has the text, and with that status.
failed() {
    [ "$status" = "$1" ] || { echo "status $status: $output$stderr"; return 1; }
    case $stderr in
        *"$2"*) ;;
        *) echo "stderr: $stderr"; return 1 ;;
    esac
    [ "$1" = 2 ] || [ "$(printf '%s\n' "$stderr" | wc -l)" = 1 ] || { echo "more than a line: $stderr"; return 1; }
}

# Nothing is in the folder but these.
only() {
    [ "$(ls -A)" = "$(printf '%s\n' "$@" | sort)" ] || { ls -lA; return 1; }
}

# u.img: old.img, and in its journal what makes new.img of it. -c: with checksums.
journal() { # [-c]
    cp old.img u.img
    echo "jo $*" >commands
    for b in $(cmp -l old.img new.img | awk '{ b = int(($1 - 1) / 4096); if (!(b in seen)) print b; seen[b] = 1 }'); do
        dd if=new.img of=block.$b bs=4096 skip=$b count=1 status=none
        echo "jw -b $b block.$b" >>commands
    done
    echo jc >>commands
    debugfs -w -f commands u.img >/dev/null 2>&1
}

# Locks a file for writing, as a running guest does, until `kill $holder`.
hold() {
    # struct flock of x86-64 and its like: type, whence, start, length, pid.
    timeout 30 perl -e 'use Fcntl; open F, "+<", $ARGV[0] or die;
        my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
        fcntl(F, F_SETLK, $lock) or die "lock: $!";
        open G, ">", "locked"; close G; sleep 30' "$1" 3>&- &
    holder=$!
    for _ in $(seq 100); do [ ! -e locked ] || return 0; sleep 0.05; done
    false
}

# Boots a guest, its console going to the file "console" and errors to "err", and sets status. UML 6.1 crashes
# now and then on a busy machine after the guest has powered off, and takes the exit status with it: once more then.
boot() {
    local try
    for try in 1 2 3; do
        status=0
        timeout 300 "$ROOTLET" run "$@" </dev/null >console 2>err 3>&- || status=$?
        grep -q 'exit status is lost' err || return 0
    done
}
