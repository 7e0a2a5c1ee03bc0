/* Signature policies: what is accepted rejects by default, and read again, as written for the engine, is
 * accepted or has the scope of a whole transport that only the writer makes. */
#include "fuzz.h"

#include "base/auto.h"
#include "workload/signature_policy.h"

#include <string.h>

static int give_key(void *ctx, const char *path, struct buf *out, struct err *err)
{
    (void)ctx, (void)err;
    if (strlen(path) > 100)
        return err_set(err, ERR_NOT_FOUND, 0, "no such key");
    buf_str(out, "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(signature_policy_done) struct signature_policy p = { 0 };
    AUTO(signature_policy_done) struct signature_policy again = { 0 };
    AUTO(json_drop) json_t *written = NULL;
    struct err err = { 0 };
    if (signature_policy_read(bytes_of(data, size), give_key, NULL, &p, &err) < 0) {
        CHECK(err.kind != ERR_NONE);
        return 0;
    }
    CHECK(json_parse(buf_bytes(&p.json), SIGNATURE_POLICY_MAX, &written, NULL) == 0);
    const json_t *fallback = json_array_get(json_object_get(written, "default"), 0);
    CHECK(!strcmp(json_string_value(json_object_get(fallback, "type")), "reject"));
    CHECK(signature_policy_read(buf_bytes(&p.json), give_key, NULL, &again, NULL) == 0);
    CHECK(again.accepts_docker_archive == p.accepts_docker_archive);
    CHECK(again.accepts_oci_archive == p.accepts_oci_archive);
    for (int archive = 0; archive < 2; archive++) { /* lets the engine do more, and nobody else */
        AUTO(signature_policy_done) struct signature_policy spared = { 0 };
        if (signature_policy_spare(&p, "a.example/b:1", archive, &err) < 0)
            continue;
        CHECK(signature_policy_read(buf_bytes(&p.json), give_key, NULL, &spared, NULL) == 0);
        CHECK(!archive || (spared.accepts_docker_archive && spared.accepts_oci_archive));
        CHECK(again.accepts_docker_archive == p.accepts_docker_archive);
    }
    return 0;
}
