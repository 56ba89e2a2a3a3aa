# There is nothing to build.

mkdir -p "$OUT/bin"
cp "$RECIPE/check-static" "$RECIPE/check-kconfig" "$OUT/bin/"
chmod 0755 "$OUT/bin/check-static" "$OUT/bin/check-kconfig"
