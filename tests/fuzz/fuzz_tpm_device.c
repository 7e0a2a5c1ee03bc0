/* A TPM that answers whatever it likes: the device layer over a line of recorded and mutated answers. Input:
 * answers, each after its size (u16 big-endian); where they end, the line is dead. */
#include "fuzz.h"

#include "tpm/public.h"
#include "tpm/tpm.h"

struct line {
    TSS2_TCTI_CONTEXT_COMMON_V2 tcti; /* first: a TCTI context is a pointer to it */
    struct reader answers;
};

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    (void)context;
    CHECK(size >= 10 && be_uint(command + 2, 4) == size);
    return TSS2_RC_SUCCESS;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    struct line *line = (struct line *)context;
    struct reader at = line->answers;
    struct bytes answer;
    (void)timeout;
    if (!rd_tpm2b(&at, &answer))
        return TSS2_TCTI_RC_IO_ERROR;
    if (!response) { /* how much room is needed? */
        *size = answer.n;
        return TSS2_RC_SUCCESS;
    }
    line->answers = at;
    if (answer.n > *size)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(response, answer.p, answer.n);
    *size = answer.n;
    if (answer.n >= 10) { /* a wrong size is refused below; here it would only hide the rest */
        const uint8_t right[4] = { 0, 0, (uint8_t)(answer.n >> 8), (uint8_t)answer.n };
        memcpy(response + 2, right, sizeof(right));
    }
    return TSS2_RC_SUCCESS;
}

static void use(struct tpm *t)
{
    struct err err = { 0 };
    struct tpm_pcrs pcrs = { 0 };
    struct tpm_ak ak;
    struct tpm_public pub;
    struct buf nv = buf_new(4096), attest = buf_new(4096), sig = buf_new(4096);
    if (tpm_pcr_read(t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err) == 0) {
        for (int i = 0; i < TPM_PCRS; i++)
            CHECK(pcrs.pcr[i].alg == ALG_SHA256 && pcrs.pcr[i].n == 32);
    } else {
        CHECK(err.kind != ERR_NONE && pcrs.mask == 0);
    }
    CHECK(tpm_nv_read(t, 0x01400001, &nv, &err) == 0 || nv.n == 0);
    for (int source = TPM_AK_PERSISTENT; source <= TPM_AK_PRIMARY; source++) {
        if (tpm_ak_load(t, (enum tpm_ak_source)source, source == TPM_AK_PERSISTENT ? 0x81000003 : 0x01C10001,
                        &ak, &err)
            < 0)
            continue;
        CHECK(tpm_public_parse(buf_bytes(&ak.public_area), &pub, &err) == 0
              && tpm_public_check_ak(&pub, &err) == 0);
        attest.n = sig.n = 0;
        int rc = tpm_quote(t, &ak, ALG_SHA256, 0xFF, bytes_str("nonce"), &attest, &sig, &err);
        CHECK(rc == 0 || attest.n + sig.n == 0);
        tpm_ak_done(t, &ak);
    }
    buf_done(&nv);
    buf_done(&attest);
    buf_done(&sig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line line = {
        .tcti = { .v1 = { .magic = 1, .version = 2, .transmit = transmit, .receive = receive } },
        .answers = reader_of(bytes_of(data, size))
    };
    struct tpm *t = NULL;
    struct err err = { 0 };
    if (tpm_open_tcti((TSS2_TCTI_CONTEXT *)&line, &t, &err) < 0) {
        CHECK(err.kind != ERR_NONE && !t);
        return 0;
    }
    use(t);
    tpm_close(t);
    return 0;
}
