/* The table of built-in functions. */
#include "policy/rego/builtin.h"

#include "base/auto.h"

static const struct {
    const struct builtin *row;
    const uint32_t *n;
} tables[] = {
    { builtins_core, &builtins_core_n },         { builtins_numbers, &builtins_numbers_n },
    { builtins_strings, &builtins_strings_n },   { builtins_objects, &builtins_objects_n },
    { builtins_encoding, &builtins_encoding_n }, { builtins_time, &builtins_time_n },
    { builtins_types, &builtins_types_n },
};

/* An index is a table's number and a row's. */
#define ROWS_MAX 64

const struct builtin *builtin_at(uint32_t index)
{
    return &tables[index / ROWS_MAX].row[index % ROWS_MAX];
}

uint32_t builtin_index(const struct builtin *b)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (uint32_t k = 0; k < *tables[i].n; k++)
            if (&tables[i].row[k] == b)
                return i * ROWS_MAX + k;
    return UINT32_MAX;
}

const struct builtin *builtin_find(const char *name, size_t n)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (uint32_t k = 0; k < *tables[i].n; k++)
            if (strlen(tables[i].row[k].name) == n && memcmp(tables[i].row[k].name, name, n) == 0)
                return &tables[i].row[k];
    return NULL;
}

bool builtin_known_elsewhere(const char *name, size_t n)
{
    static const char *const known[] = {
        "assign",
        "bits.and",
        "bits.lsh",
        "bits.negate",
        "bits.or",
        "bits.rsh",
        "bits.xor",
        "cast_array",
        "cast_boolean",
        "cast_null",
        "cast_object",
        "cast_set",
        "cast_string",
        "crypto.hmac.equal",
        "crypto.hmac.md5",
        "crypto.hmac.sha1",
        "crypto.hmac.sha256",
        "crypto.hmac.sha512",
        "crypto.md5",
        "crypto.parse_private_keys",
        "crypto.x509.parse_and_verify_certificates",
        "crypto.x509.parse_and_verify_certificates_with_options",
        "crypto.x509.parse_certificate_request",
        "crypto.x509.parse_certificates",
        "crypto.x509.parse_keypair",
        "crypto.x509.parse_rsa_private_key",
        "eq",
        "glob.match",
        "glob.quote_meta",
        "graph.reachable",
        "graph.reachable_paths",
        "graphql.is_valid",
        "graphql.parse",
        "graphql.parse_and_verify",
        "graphql.parse_query",
        "graphql.parse_schema",
        "graphql.schema_is_valid",
        "http.send",
        "internal.member_2",
        "internal.member_3",
        "io.jwt.decode",
        "io.jwt.decode_verify",
        "io.jwt.encode_sign",
        "io.jwt.encode_sign_raw",
        "io.jwt.verify_es256",
        "io.jwt.verify_es384",
        "io.jwt.verify_es512",
        "io.jwt.verify_hs256",
        "io.jwt.verify_hs384",
        "io.jwt.verify_hs512",
        "io.jwt.verify_ps256",
        "io.jwt.verify_ps384",
        "io.jwt.verify_ps512",
        "io.jwt.verify_rs256",
        "io.jwt.verify_rs384",
        "io.jwt.verify_rs512",
        "json.filter",
        "json.marshal_with_options",
        "json.match_schema",
        "json.patch",
        "json.remove",
        "json.verify_schema",
        "net.cidr_contains",
        "net.cidr_contains_matches",
        "net.cidr_expand",
        "net.cidr_intersects",
        "net.cidr_is_valid",
        "net.cidr_merge",
        "net.cidr_overlap",
        "net.lookup_ip_addr",
        "opa.runtime",
        "providers.aws.sign_req",
        "rand.intn",
        "regex.find_all_string_submatch_n",
        "regex.find_n",
        "regex.globs_match",
        "regex.replace",
        "regex.split",
        "regex.template_match",
        "rego.metadata.chain",
        "rego.metadata.rule",
        "rego.parse_module",
        "semver.compare",
        "semver.is_valid",
        "strings.render_template",
        "time.diff",
        "time.parse_ns",
        "trace",
        "units.parse",
        "units.parse_bytes",
        "urlquery.decode",
        "urlquery.decode_object",
        "urlquery.encode",
        "urlquery.encode_object",
        "uuid.parse",
        "uuid.rfc4122",
        "yaml.is_valid",
        "yaml.marshal",
        "yaml.unmarshal",
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strlen(known[i]) == n && memcmp(known[i], name, n) == 0)
            return true;
    return false;
}
