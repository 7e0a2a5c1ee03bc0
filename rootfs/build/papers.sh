# shellcheck shell=bash
# What lies beside the disk: what it is, what it is made of, and how it was made.

papers_make() { # papers_make POOL TREE WORK
    local work=$3
    step "writing the papers"
    jq -n --arg flavour "$FLAVOUR" --arg version "$VERSION" --arg root "$ROOT_HASH" --arg salt "$SALT" --argjson blocks "$BLOCKS" \
        --arg cmdline "$CMDLINE" --arg kernel "$KERNEL" --arg uki "$(sha256sum "$work/uki.efi" | cut -c1-64)" \
        --arg initrd "$(sha256sum "$work/initrd" | cut -c1-64)" --arg disk "$(sha256sum "$work/disk.raw" | cut -c1-64)" \
        '{version: 1, flavour: $flavour, agent: $version, kernel: $kernel, cmdline: $cmdline, uki_sha256: $uki, initrd_sha256: $initrd,
          disk_sha256: $disk, root: {hash: $root, algorithm: "sha256", salt: $salt, data_blocks: $blocks, block_size: 4096}}' >"$work/image.json"
    packages_used "$1" "$2" | sort -u >"$work/used"
    spdx "$work/used" >"$work/spdx.json"
    provenance "$work" >"$work/provenance.json"
    [ -n "$SIGN_KEY" ] || return 0
    "$CVM_CLI" sign "$work/provenance.json" "$SIGN_KEY" -o "$work/intoto.jsonl" || die "the papers cannot be signed"
}

# SPDX 2.3: the packages that went in, by version and digest.
spdx() { # spdx NAMES
    awk 'NR == FNR { used[$1] = 1; next } used[$1]' "$1" "$LOCK" | jq -R -s --arg version "$VERSION" --arg flavour "$FLAVOUR" --arg root "$ROOT_HASH" \
        --arg created "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" '
        def id: "SPDXRef-Package-" + gsub("[^A-Za-z0-9.-]"; "-");
        [split("\n")[] | select(. != "") | split(" ") | {name: .[0], version: .[1], sha: .[2], path: .[4]}] as $p |
        {spdxVersion: "SPDX-2.3", dataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", name: "cvm-agent-image-\($version)-\($flavour)",
         documentNamespace: "https://spdx.org/spdxdocs/cvm-agent-image-\($root)",
         creationInfo: {created: $created, creators: ["Tool: cvm-agent-build-image-\($version)"]},
         packages: ([{SPDXID: "SPDXRef-Package-cvm-agent", name: "cvm-agent", versionInfo: $version, downloadLocation: "NOASSERTION",
                      filesAnalyzed: false, licenseConcluded: "Apache-2.0", licenseDeclared: "Apache-2.0", copyrightText: "NOASSERTION"}]
            + [$p[] | {SPDXID: (.name | id), name: .name, versionInfo: .version, downloadLocation: "NOASSERTION", filesAnalyzed: false,
                licenseConcluded: "NOASSERTION", licenseDeclared: "NOASSERTION", copyrightText: "NOASSERTION", supplier: "Organization: Debian",
                checksums: [{algorithm: "SHA256", checksumValue: .sha}],
                externalRefs: [{referenceCategory: "PACKAGE-MANAGER", referenceType: "purl",
                    referenceLocator: "pkg:deb/debian/\(.name | @uri)@\(.version | @uri)?arch=amd64"}]}]),
         relationships: ([{spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: "SPDXRef-Package-cvm-agent"}]
            + [$p[] | {spdxElementId: "SPDXRef-Package-cvm-agent", relationshipType: "DEPENDS_ON", relatedSpdxElement: (.name | id)}])}'
}

sha256_of() { sha256sum "$1" | cut -c1-64; }

# All of the disk but the data partition, which the host may write and update-disk does, and the volume, which the machine
# writes: they are the last ones, a MiB before the end.
sha256_without_data() { # sha256_without_data DISK
    local mib=$(($(stat -c %s "$1") / 1048576))
    { head -c $(((mib - 1 - DATA_MIB - ${VOLUME_MIB:-0}) * 1048576)) "$1"; tail -c 1048576 "$1"; } | sha256sum | cut -c1-64
}

# What the programs of the image were compiled with, as the compiler itself left it in them.
compiler_of() { # compiler_of PROGRAM
    { readelf -p .comment "$1" 2>/dev/null || true; } | sed -n 's/^ *\[ *[0-9a-f]*\] *//p' | sort -u | paste -sd';' | grep . || echo unknown
}

# Everything that was asked for and that the disk follows: of files the digest.
parameters() {
    jq -n --arg flavour "$FLAVOUR" --arg formats "$FORMATS" --argjson data "$DATA_MIB" --arg volume "$VOLUME_MIB" --arg seal "$SEAL" \
        --argjson accept "$ACCEPT_HOST_VTPM" --argjson on_volume "$WORKLOAD_ON_VOLUME" --arg recovery "${RECOVERY:+$(sha256_of "$RECOVERY")}" \
        --arg boot "${BOOT_CERT:+$(sha256_of "$BOOT_CERT")}" --arg signed "${SIGN_KEY:+yes}" '
        def given: if . == "" then null else . end;
        {flavour: $flavour, formats: ($formats / ","), data_mib: $data, papers_signed: ($signed == "yes"),
         secure_boot: ($boot | given | if . then {certificate_sha256: .} else . end),
         volume: ($volume | given | if . then {mib: tonumber, seal: $seal, accept_host_vtpm: $accept, workload_on_volume: $on_volume,
            recovery_sha256: ($recovery | given)} else . end)}'
}

# What went in besides the packages: {"name","digest"} of each program and file.
dependencies() {
    local name file
    for name in cvm-agent cvm-agent-priv cvm-agent-setup; do echo "$name $(sha256_of "$AGENT/bin/$name")"; done
    echo "cvm-init $(sha256_of "$INIT")"
    [ -z "$VOLUME_MIB" ] || echo "cvm-volume $(sha256_of "$VOLUME_PROGRAM")"
    while read -r name file; do
        [ -z "$file" ] || echo "$name $(sha256_of "$file")"
    done <<<"recovery.pub $RECOVERY
secure-boot-certificate $BOOT_CERT"
}

# in-toto statement with a SLSA v1 predicate. The other papers are among its subjects, so that one signature is over all.
provenance() { # provenance WORK
    local commit tools used
    commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
    [ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit=$commit-modified
    tools=$({
        echo "erofs-utils $({ mkfs.erofs --version 2>&1 || true; } | awk 'NR == 1 { print $NF }')"
        echo "cryptsetup $(veritysetup --version | awk '{ print $2 }')"
        echo "binutils $(objcopy --version | awk 'NR == 1 { print $NF }')"
        echo "gdisk $(sgdisk --version | awk 'NR == 1 { print $NF }')"
        echo "mtools $(mcopy --version | awk 'NR == 1 { print $NF }')"
        echo "zstd $(zstd --version | grep -o 'v[0-9.]*')"
    } | jq -R -s --arg compiler "$(compiler_of "$AGENT/bin/cvm-agent")" '[split("\n")[] | select(. != "") | split(" ") | {(.[0]): .[1]}] | add + {compiler: $compiler}')
    used=$(dependencies | jq -R -s '[split("\n")[] | select(. != "") | split(" ") | {name: .[0], digest: {sha256: .[1]}}]')
    jq -n --slurpfile image "$1/image.json" --arg commit "$commit" --argjson tools "$tools" --argjson used "$used" --argjson parameters "$(parameters)" \
        --arg lock "$(sha256sum "$LOCK" | cut -c1-64)" --arg data "$(sha256sum "$1/data" | cut -c1-64)" --arg epoch "$SOURCE_DATE_EPOCH" \
        --arg outside "$(sha256_without_data "$1/disk.raw")" --arg json "$(sha256_of "$1/image.json")" --arg spdx "$(sha256_of "$1/spdx.json")" '
        def subject(name; sha256): {name: name, digest: {sha256: sha256}};
        {_type: "https://in-toto.io/Statement/v1", predicateType: "https://slsa.dev/provenance/v1",
         subject: [subject("disk.raw"; $image[0].disk_sha256), subject("disk.raw without data"; $outside),
            subject("BOOTX64.EFI"; $image[0].uki_sha256), subject("disk.json"; $json), subject("disk.spdx.json"; $spdx)],
         predicate: {buildDefinition: {buildType: "https://cvm-agent/build-image/v1",
            externalParameters: ($parameters + {source_date_epoch: $epoch, data_partition_sha256: $data}),
            internalParameters: {tools: $tools},
            resolvedDependencies: ([{uri: "git+cvm-agent", digest: {gitCommit: $commit}}, {name: "rootfs/packages.lock", digest: {sha256: $lock}}] + $used)},
          runDetails: {builder: {id: "https://cvm-agent/scripts/build-image"}}}}'
}
