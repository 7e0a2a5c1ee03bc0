/** golden_rig.h: golden documents in short, and a machine that agrees with them. */
#ifndef CVM_TEST_GOLDEN_RIG_H
#define CVM_TEST_GOLDEN_RIG_H

#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "policy/golden_compare.h"

#define H16          "000102030405060708090a0b0c0d0e0f"
#define H32          "1112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30"
#define X32          "2112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30"
#define Z32          "0000000000000000000000000000000000000000000000000000000000000000"
#define H48          H32 H16
#define Z48          Z32 "00000000000000000000000000000000"
#define DOC(inner)   "{\"golden_measurement\":{" inner "}}"
#define PCRS(values) DOC("\"tpm\":{\"bank\":\"sha256\",\"pcrs\":{" values "}}")
#define EVENTS(n, match, list)                                                                               \
    DOC("\"tpm\":{\"events\":{\"" n "\":{\"match\":\"" match "\",\"digests\":[" list "]}}}")
#define LIST(entry)    DOC("\"pcrs\":[{" entry "}]")
#define CONTENT        "\"content_sha384\":\"" H48 "\""
#define RECORD(t, n)   "{\"type\":\"" t "\",\"name\":\"" n "\"," CONTENT "}"
#define WORKLOAD(list) DOC("\"workload\":{\"scheme\":\"cvm-agent-v1\",\"events\":[" list "]}")
static const char full[] =
    DOC("\"version\":1,\"platform\":{\"tee\":\"sev_snp\",\"cloud\":\"gcp\"},"
        "\"sev_snp\":{\"measurement\":\"" H48 "\",\"policy\":\"0x30000\",\"vmpl\":0,\"family_id\":\"" H16
        "\",\"image_id\":\"" H16 "\",\"host_data\":\"" H32 "\",\"id_key_digest\":\"" Z48
        "\",\"author_key_digest\":\"" Z48
        "\",\"minimum_tcb\":{\"bootloader\":3,\"tee\":0,\"snp\":8,\"microcode\":115}},"
        "\"tpm\":{\"bank\":\"sha256\",\"pcrs\":{\"0\":\"" H32 "\",\"11\":\"0x" H32 "\",\"23\":\"" Z32
        "\"},\"events\":{}},\"workload\":null");
struct digest digest_from(const char *hex);
void set_hex(struct registers *r, enum register_id id, const char *hex);
void set_pcr(struct registers *r, unsigned i, const char *hex);

/* The machine that the document above describes, and registers that it does not mention. */
struct registers machine(void);
struct answer {
    struct checks *checks;
    json_t *not_checked;
};
void answer_done(struct answer *a);
struct answer compare(const char *document, const struct registers *r);
void expect(const char *document, const struct registers *r, const char *check, enum check_result result,
            const char *says);
bool lists(const struct answer *a, const char *name);

#define A "\"aaaa131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""
#define B "\"bbbb131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""
#define C "\"cccc131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""
#define D "\"dddd131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""

#endif
