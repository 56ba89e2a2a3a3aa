#!/usr/bin/env bats
# rootlet test: the tests of image recipes, each in a guest.
load helper

setup_file() {
    build_packages
}

# A small system, and the lines on standard input.
recipe() {
    {
        cat
        cat <<'END'
packages  = { "busybox" }
skeletons = { "base" }
disk "root" { free = 1M }
disk "data" { size = 2M  mount = "/mnt" }
run { kernel = "linux-um"  mem = 64M  append = { "quiet" } }
END
    } >"$1.conf"
}

for_each_image() {
    skip_without_uml
    TMPDIR=$PWD rootlet test --recipes "$TOP" "$1" >tap 2>err || { cat tap err; return 1; }
    [ "$(sed -n 1p tap)" = "TAP version 13" ]
    [ "$(sed -n 2p tap)" = "1..$(rootlet test --list --recipes "$TOP" "$1" | wc -l)" ]
    [ "$(grep -c '^ok ' tap)" = "$(rootlet test --list --recipes "$TOP" "$1" | wc -l)" ]
    # Nothing is left, and nothing was put into out/.
    only tap err
}

@test "the tests of minimal" { for_each_image minimal; }
@test "the tests of demo" { for_each_image demo; }
@test "the tests of net" { for_each_image net; }
@test "the tests of dev" { for_each_image dev; }
@test "the tests of rescue" { for_each_image rescue; }
@test "the tests of kernel-test" { for_each_image kernel-test; }

@test "tests that fail say why, in the recipe's order, whatever is done first" {
    recipe box <<'END'
summary = "tests that fail"
test "slow and good"    { command = { "sh", "-c", "sleep 2; echo slow" }  expect-output = { "slow" } }
test "status"           { command = { "sh", "-c", "echo out; echo err >&2; exit 7" } }
test "expected status"  { command = { "sh", "-c", "exit 7" }  expect-status = 7 }
test "order"            { command = { "printf", "two\\none\\n" }  expect-output = { "one", "two" } }
test "time"             { command = { "sleep", "100" }  timeout = 1s }
test "no such program"  { command = { "frobnicate" } }
test "a boot's end"     { append = { "init=/bin/false" } }
test "user and env"     { command = { "sh", "-c", "echo $A; id -u" }  env = { "A=b c" }  user = "5:5"
                          expect-output = { "b c", "5" } }
test "escaped"          { command = { "printf", "\\033[31mred\\n" }  expect-status = 1 }
test "long"             { command = { "sh", "-c", "seq 100; exit 1" } }
END
    run rootlet test -j 4 box.conf
    [ "$status" = 1 ]
    grep -E '^(not )?ok ' <<<"$output" | diff - <(cat <<'END'
ok 1 - slow and good
not ok 2 - status
ok 3 - expected status
not ok 4 - order
not ok 5 - time
not ok 6 - no such program
not ok 7 - a boot's end
ok 8 - user and env
not ok 9 - escaped
not ok 10 - long
END
    )
    for line in '1..10' '# box.conf:3: status 7, and not 0' '#   out' '#   err' \
        "# box.conf:5: no line 'two' in the output, or not in this order" '# box.conf:6: its time ran out' \
        '# box.conf:7: status 127, and not 0' '# box.conf:8: status 125, and not 0' '#   \x1b[31mred'; do
        grep -qxF -- "$line" <<<"$output" || { echo "no $line in: $output"; false; }
    done
    # The last lines of it.
    sed -n '/^not ok 10 /,$ s/^#   \([0-9].*\)/\1/p' <<<"$output" | diff - <(seq 81 100)
    run rootlet test --timeout 2 box.conf "slow and good" time
    [ "$status" = 1 ]
    grep -qx '1\.\.2' <<<"$output"
    grep -qx '# box.conf:2: its time ran out' <<<"$output"
}

@test "tests disturb neither the images nor each other" {
    recipe box <<'END'
summary = "tests that write"
test "one"   { command = { "sh", "-c", "[ ! -e /f ] && [ ! -e /mnt/f ] && echo x >/f && echo x >/mnt/f && sync" } }
test "two"   { command = { "sh", "-c", "[ ! -e /f ] && [ ! -e /mnt/f ] && echo x >/f && echo x >/mnt/f && sync" } }
END
    rootlet build -q -o out box.conf
    sha256sum out/* >before
    rootlet test -o out box.conf
    rootlet test -j 1 -o out box.conf
    sha256sum -c --quiet before
    # What a guest did to the images in out/ is not seen by tests that have their own.
    timeout 60 "$ROOTLET" run -o out box.conf -- sh -c 'echo x >/f; echo x >/mnt/f'
    run -1 rootlet test -o out box.conf
    rootlet test box.conf
}

@test "what is typed waits until there is somebody to read it" {
    recipe box <<'END'
summary = "tests that type"
user "root" { password = "" }
test "a login"   { input = "root\npoweroff\n"  expect-status = 0  expect-output = { "*login: *" } }
test "a shell"   { append = { "init=/bin/sh" }  input = "echo for'ty-t'wo\npoweroff -f\n"  expect-status = 0
                   expect-output = { "*forty-two" } }
END
    rootlet test -j 2 box.conf || { rootlet test box.conf; false; }
}

@test "a signal ends the tests, and nothing is left" {
    recipe long-$$ <<'END'
summary = "tests that go on for long"
test "one" { command = { "sleep", "1000" } }
test "two" { command = { "sleep", "1000" } }
END
    mkdir tmp
    TMPDIR=$PWD/tmp timeout 60 "$ROOTLET" test -j 2 long-$$.conf >tap 2>err 3>&- &
    job=$!
    for _ in $(seq 300); do
        [ "$(rootlet ps | grep -c "^long-$$ " || true)" -lt 2 ] || break
        sleep 0.1
    done
    kill -INT "$(pgrep -P $job)"
    status=0
    wait $job || status=$?
    [ "$status" = 1 ] || { echo "status $status"; cat tap err; false; }
    grep -q "long-$$: test: interrupted by" err
    [ -z "$(ls tmp)" ] || { ls -R tmp; false; }
}

@test "what a killed one has left is removed, and what another one works with is not" {
    recipe left-$$ <<'END'
summary = "tests that go on for long"
test "long"  { command = { "sleep", "1000" } }
test "short" { command = { "true" } }
END
    mkdir tmp
    export TMPDIR=$PWD/tmp
    "$ROOTLET" test left-$$.conf long >tap 2>err 3>&- &
    job=$!
    for _ in $(seq 300); do
        [ -z "$(running pid)" ] || break
        sleep 0.1
    done
    folder=$(echo tmp/rootlet-tests-*)
    touch -d '2 hours ago' "$folder"
    rootlet test left-$$.conf short
    [ -e "$folder/root.ext4" ]
    kill -KILL $job
    wait $job || true
    touch -d '2 hours ago' "$folder"
    mkdir tmp/rootlet-tests-young0 tmp/rootlet-test-others
    touch -d '2 hours ago' tmp/rootlet-test-others
    rootlet test left-$$.conf short
    rmdir tmp/rootlet-tests-young0 tmp/rootlet-test-others
    nothing_left
}

@test "results as JSON" {
    recipe box <<'END'
summary = "tests for JSON"
test "good" { command = { "echo", "hi" } }
test "bad"  { command = { "false" } }
END
    run -1 --separate-stderr rootlet test --json box.conf
    python3 -c 'import json, sys
good, bad = json.load(sys.stdin)
assert (good["name"], good["ok"], good["status"], good["output"]) == ("good", True, 0, "hi\n"), good
assert (bad["ok"], bad["status"], bad["why"]) == (False, 1, "status 1, and not 0"), bad
assert bad["seconds"] > 0' <<<"$output"
    refute grep -E '"seconds": [0-9]+\.[0-9]{4}' <<<"$output"
}
