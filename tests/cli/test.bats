#!/usr/bin/env bats
# rootlet test, as far as nothing is booted.
load helper

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    cat >box.conf <<'END'
summary = "a box"
test "boots"          { expect-output = { "*login: " } }
test "a file is there" {
    command       = { "cat", "/etc/motd" }
    expect-status = 0
}
END
}

@test "the tests of a recipe are listed" {
    run -0 rootlet test --list box.conf
    [ "$output" = "boots
a file is there" ]
    run -0 rootlet test --list box.conf "a file is there"
    [ "$output" = "a file is there" ]
    rootlet test --list --json box.conf | python3 -c 'import json, sys
boots, file = json.load(sys.stdin)
assert boots["expect-output"] == ["*login: "] and "expect-status" not in boots, boots
assert file["command"] == ["cat", "/etc/motd"] and file["expect-status"] == 0, file
assert (file["file"], file["line"]) == ("box.conf", 3), file'
    only box.conf
}

@test "what cannot be tested is told" {
    run --separate-stderr rootlet test box.conf none
    failed 1 "box.conf: test: there is no test 'none'"
    echo 'summary = "no tests"' >none.conf
    run --separate-stderr rootlet test none.conf
    failed 1 "none.conf: test: there is no test section"
    run --separate-stderr rootlet test
    failed 2 "which recipe?"
    run --separate-stderr rootlet test --timeout soon box.conf
    failed 2 "--timeout takes a time such as 90, not 'soon'"
    run --separate-stderr rootlet test -j 0 box.conf
    failed 2 "-j takes a number from 1 to 1024"
    run --separate-stderr env TMPDIR=/nowhere "$ROOTLET" test box.conf
    failed 1 "/nowhere/rootlet-tests-"
}

@test "mistakes in a test are told with their line" {
    echo 'test "x" { command = { "a" }  expect-status = many }' >>box.conf
    run --separate-stderr rootlet check-recipe box.conf
    [ "$status" = 1 ]
    grep -qx "rootlet: box.conf:7: read recipe: expect-status 'many' is no number from 0 to 255" <<<"$stderr"
}
