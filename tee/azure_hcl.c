/* The HCL report in the TPM's NV memory, and how a new one is had. */
#include "base/auto.h"
#include "base/clock.h"
#include "tee/azure.h"
#include "tee/hcl_report.h"

#include <string.h>

#define POLL_MS 50 /* the paravisor takes a good second; the TPM itself is the pause between two reads */

int azure_hcl_read(struct tpm *tpm, struct buf *out, struct err *err)
{
    if (tpm_nv_read(tpm, AZURE_NV_HCL_REPORT, out, err) < 0)
        return err_while(err, "read the HCL report");
    return 0;
}

static int make_user_data_index(struct tpm *tpm, struct err *err)
{
    size_t size = 0;
    struct err why = { 0 };
    int rc = tpm_nv_size(tpm, AZURE_NV_USER_DATA, &size, &why);
    if (rc < 0 && why.kind != ERR_NOT_FOUND) {
        if (err)
            *err = why;
        return err_while(err, "look at the user-data index");
    }
    if (rc == 0 && size == AZURE_USER_DATA)
        return 0;
    if (rc == 0 && tpm_nv_undefine(tpm, AZURE_NV_USER_DATA, err) < 0)
        return err_while(err, "remove a user-data index of another size");
    if (tpm_nv_define(tpm, AZURE_NV_USER_DATA, AZURE_USER_DATA, err) < 0)
        return err_while(err, "define the user-data index");
    return 0;
}

static int holds_user_data(struct bytes raw, const uint8_t *user_data, bool *out, struct err *err)
{
    struct hcl_report hcl;
    AUTO(hcl_claims_done) struct hcl_claims claims = { 0 };
    if (hcl_report_parse(raw, &hcl, err) < 0 || hcl_claims_parse(hcl.var_data, &claims, err) < 0)
        return -1;
    if (!claims.has_user_data)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "this VM's paravisor is too old: its runtime data carry no user-data");
    *out = memcmp(claims.user_data, user_data, AZURE_USER_DATA) == 0;
    return 0;
}

static int write_on_tpm(struct tpm *tpm, void *user_data, struct err *err)
{
    if (make_user_data_index(tpm, err) < 0)
        return err_while(err, "refresh the HCL report");
    if (tpm_nv_write(tpm, AZURE_NV_USER_DATA, bytes_of(user_data, AZURE_USER_DATA), err) < 0)
        return err_while(err, "write user data for a fresh HCL report");
    return 0;
}

static int read_on_tpm(struct tpm *tpm, void *raw, struct err *err)
{
    return azure_hcl_read(tpm, raw, err);
}

int azure_hcl_refresh(azure_visit_fn *visit, void *ctx, const uint8_t user_data[static AZURE_USER_DATA],
                      unsigned deadline_ms, struct buf *out, struct err *err)
{
    uint64_t deadline = clock_ms() + (deadline_ms < AZURE_REFRESH_MAX ? deadline_ms : AZURE_REFRESH_MAX);
    uint8_t data[AZURE_USER_DATA];
    memcpy(data, user_data, sizeof(data));
    if (visit(ctx, write_on_tpm, data, err) < 0)
        return -1;
    for (;;) {
        AUTO(buf_done) struct buf raw = buf_new(AZURE_HCL_MAX);
        bool fresh = false;
        struct err why = { 0 };
        /* a report that is being rewritten may be cut or half new: only the deadline makes that an error */
        if (visit(ctx, read_on_tpm, &raw, &why) == 0
            && holds_user_data(buf_bytes(&raw), user_data, &fresh, &why) == 0 && fresh) {
            buf_put(out, buf_bytes(&raw));
            return buf_check(out, "HCL report", err);
        }
        if (clock_ms() + POLL_MS >= deadline)
            return err_set(err, ERR_UNAVAILABLE, why.code, "no fresh HCL report after %u ms%s%.120s",
                           deadline_ms, why.kind ? ": " : "", why.kind ? why.cause : "");
        clock_sleep(POLL_MS);
    }
}
