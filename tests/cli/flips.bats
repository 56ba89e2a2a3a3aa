#!/usr/bin/env bats
# Images whose metadata is corrupted at random: flips.py says what every verb must do with them. FLIPS=N: so many of
# them; SEED=N: others.
load helper

@test "corrupted images: every verb ends at once, in its own words, and touches nothing but its target" {
    "$BATS_TEST_DIRNAME/flips.py" "$ROOTLET" "${FLIPS:-150}" "${SEED:-1}" >said || { cat said; false; }
    grep -q "^${FLIPS:-150} corruptions, 0 troubles" said
}
