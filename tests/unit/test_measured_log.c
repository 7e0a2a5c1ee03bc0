/* workload/log: recorded, extended, replayed; the crash between record and extend; tampering. On the soft
 * TPM. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"
#include "tpm/soft/soft_tpm.h"
#include "workload/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

struct machine {
    char folder[32], log[64];
    struct soft_tpm *soft;
    struct tpm *tpm;
};

static const unsigned pcr14[] = { JOURNAL_PCR };

static int start(void **state)
{
    struct machine *m = calloc(1, sizeof(*m));
    struct err err = { 0 };
    strcpy(m->folder, "/tmp/cvm-log-XXXXXX");
    assert_non_null(mkdtemp(m->folder));
    snprintf(m->log, sizeof(m->log), "%s/journal", m->folder);
    if (soft_tpm_new(m->folder, &m->soft, &err) < 0
        || tpm_open_tcti(soft_tpm_tcti(m->soft), &m->tpm, &err) < 0)
        fail_msg("%s", err.cause);
    *state = m;
    return 0;
}

static int stop(void **state)
{
    struct machine *m = *state;
    char command[128];
    tpm_close(m->tpm);
    soft_tpm_free(m->soft);
    snprintf(command, sizeof(command), "rm -rf %s", m->folder);
    assert_int_equal(system(command), 0);
    free(m);
    return 0;
}

static struct measured_log *open_log(struct machine *m, const char *boot)
{
    struct measured_log *log = NULL;
    struct err err = { 0 };
    if (measured_log_open(m->log, boot, m->tpm, pcr14, 1, &log, &err) < 0)
        fail_msg("%s", err.cause);
    return log;
}

static void add(struct machine *m, struct measured_log *log, const char *type, const char *content)
{
    struct err err = { 0 };
    if (measured_log_add(log, m->tpm, type, "name", bytes_str(content), pcr14, 1, &err) < 0)
        fail_msg("%s", err.cause);
}

static struct digest read_pcr(struct machine *m, unsigned pcr)
{
    struct tpm_pcrs pcrs;
    struct err err = { 0 };
    assert_int_equal(tpm_pcr_read(m->tpm, ALG_SHA256, 1u << pcr, &pcrs, &err), 0);
    return pcrs.pcr[pcr];
}

/* The digest of sha256("cvm-agent-v1\0tls-key\0\0" || sha384("abc")), made with printf, xxd and sha256sum. */
static void preimage_has_a_known_answer(void **state)
{
    (void)state;
    struct digest d;
    struct err err = { 0 };
    uint8_t content[48];
    char hex[65], line[256] = "",
                  command[] = "{ printf 'cvm-agent-v1\\0tls-key\\0\\0'; printf abc | openssl dgst "
                              "-sha384 -binary; } | sha256sum | cut -c1-64";
    sha384(bytes_str("abc"), content);
    assert_int_equal(measured_digest(ALG_SHA256, "tls-key", "", content, &d, &err), 0);
    FILE *tool = popen(command, "r");
    assert_non_null(fgets(line, sizeof(line), tool));
    assert_int_equal(pclose(tool), 0);
    line[64] = '\0';
    assert_string_equal(hex_to(hex, digest_bytes(&d)), line);
}

static void events_replay_to_the_pcr(void **state)
{
    struct machine *m = *state;
    struct digest want = read_pcr(m, JOURNAL_PCR), d;
    struct err err = { 0 };
    struct measured_log *log = open_log(m, BOOT);
    assert_int_equal(measured_log_verdict(log), MEASURED_AGREES);
    for (int i = 0; i < 5; i++) {
        char text[16];
        uint8_t content[48];
        snprintf(text, sizeof(text), "content %d", i);
        add(m, log, "act", text);
        sha384(bytes_str(text), content);
        assert_int_equal(measured_digest(ALG_SHA256, "act", "name", content, &d, &err), 0);
        assert_int_equal(digest_extend(&want, digest_bytes(&d), &err), 0);
    }
    struct digest now = read_pcr(m, JOURNAL_PCR);
    assert_true(bytes_equal(digest_bytes(&now), digest_bytes(&want)));
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    AUTO(json_drop) json_t *array = NULL;
    measured_log_json(log, &text);
    assert_int_equal(json_parse(buf_bytes(&text), 1 << 20, &array, &err), 0);
    assert_int_equal(json_array_size(array), 5);
    measured_log_close(log);
    log = open_log(m, BOOT); /* a restart in the same boot */
    assert_int_equal(measured_log_verdict(log), MEASURED_AGREES);
    assert_int_equal(measured_log_count(log), 5);
    add(m, log, "act", "after the restart");
    measured_log_close(log);
    log = open_log(m, BOOT);
    assert_int_equal(measured_log_verdict(log), MEASURED_AGREES);
    measured_log_close(log);
}

static void file_cut_back(const char *path, size_t by)
{
    uint8_t *p = NULL;
    size_t n = 0;
    struct err err = { 0 };
    assert_int_equal(file_read(path, 1 << 20, &p, &n, &err), 0);
    assert_int_equal(truncate(path, (off_t)(n - by)), 0);
    free(p);
}

static void a_crash_before_the_extend_is_healed(void **state)
{
    struct machine *m = *state;
    struct measured_log *log = open_log(m, BOOT), *unrooted = NULL;
    struct err err = { 0 };
    add(m, log, "act", "one");
    measured_log_close(log);
    /* the record of a second event, taken from a log of the same content, without its extend */
    struct digest before = read_pcr(m, JOURNAL_PCR);
    log = open_log(m, BOOT);
    add(m, log, "act", "two");
    measured_log_close(log);
    struct digest after = read_pcr(m, JOURNAL_PCR);
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n = 0;
    assert_int_equal(file_read(m->log, 1 << 20, &p, &n, &err), 0);
    /* a new boot of the TPM: only the first event is extended again, by hand */
    tpm_close(m->tpm);
    soft_tpm_free(m->soft);
    char boot_file[64];
    snprintf(boot_file, sizeof(boot_file), "%s/tpm2-boot", m->folder);
    assert_int_equal(unlink(boot_file), 0);
    assert_int_equal(soft_tpm_new(m->folder, &m->soft, &err), 0);
    assert_int_equal(tpm_open_tcti(soft_tpm_tcti(m->soft), &m->tpm, &err), 0);
    struct digest digests[TPM_BANKS_MAX];
    struct tpm_banks banks;
    uint8_t content[48];
    sha384(bytes_str("one"), content);
    assert_int_equal(tpm_banks_get(m->tpm, &banks, &err), 0);
    for (size_t b = 0; b < banks.n; b++)
        assert_int_equal(measured_digest(banks.alg[b], "act", "name", content, &digests[b], &err), 0);
    assert_int_equal(tpm_pcr_extend(m->tpm, JOURNAL_PCR, digests, banks.n, &err), 0);
    struct digest again = read_pcr(m, JOURNAL_PCR);
    assert_true(bytes_equal(digest_bytes(&again), digest_bytes(&before)));
    log = open_log(m, BOOT);
    assert_int_equal(measured_log_verdict(log), MEASURED_HEALED);
    struct digest healed = read_pcr(m, JOURNAL_PCR);
    assert_true(bytes_equal(digest_bytes(&healed), digest_bytes(&after)));
    measured_log_close(log);
    assert_int_equal(measured_log_open(m->log, BOOT, NULL, pcr14, 1, &unrooted, &err), 0);
    assert_int_equal(measured_log_verdict(unrooted), MEASURED_UNROOTED);
    measured_log_close(unrooted);
}

static void extend_behind_its_back(struct machine *m, unsigned pcr)
{
    struct tpm_banks banks;
    struct digest digests[TPM_BANKS_MAX];
    struct err err = { 0 };
    assert_int_equal(tpm_banks_get(m->tpm, &banks, &err), 0);
    for (size_t b = 0; b < banks.n; b++)
        assert_int_equal(digest_of(banks.alg[b], bytes_str("somebody else"), &digests[b], &err), 0);
    assert_int_equal(tpm_pcr_extend(m->tpm, pcr, digests, banks.n, &err), 0);
}

static void a_foreign_extend_is_seen_and_stops_extending(void **state)
{
    struct machine *m = *state;
    struct measured_log *log = open_log(m, BOOT);
    struct err err = { 0 };
    add(m, log, "act", "one");
    extend_behind_its_back(m, JOURNAL_PCR);
    assert_int_equal(measured_log_check(log, m->tpm, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    assert_int_equal(measured_log_verdict(log), MEASURED_DISAGREES);
    measured_log_close(log);
    log = open_log(m, BOOT);
    struct digest held = read_pcr(m, JOURNAL_PCR);
    assert_int_equal(measured_log_verdict(log), MEASURED_DISAGREES);
    assert_non_null(strstr(measured_log_verdict_text(log), "PCR 14"));
    assert_int_equal(measured_log_add(log, m->tpm, "act", "x", bytes_str("y"), pcr14, 1, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    struct digest now = read_pcr(m, JOURNAL_PCR);
    assert_true(bytes_equal(digest_bytes(&held), digest_bytes(&now)));
    assert_int_equal(measured_log_count(log), 1);
    AUTO(buf_done) struct buf report = buf_new(1 << 20);
    assert_int_equal(measured_log_report(log, m->tpm, &report, &err), 0);
    buf_u8(&report, '}');
    AUTO(json_drop) json_t *v = NULL;
    assert_int_equal(json_parse(buf_bytes(&report), 1 << 20, &v, &err), 0);
    assert_string_equal(json_string_value(json_object_get(v, "verdict")), "disagrees");
    measured_log_close(log);
}

/* The chain: whatever byte is changed, the file is refused and the line named. */
static void a_changed_file_is_refused(void **state)
{
    struct machine *m = *state;
    struct measured_log *log = open_log(m, BOOT);
    struct err err = { 0 };
    add(m, log, "act", "one");
    add(m, log, "act", "two");
    measured_log_close(log);
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n = 0;
    assert_int_equal(file_read(m->log, 1 << 20, &p, &n, &err), 0);
    const char *boot = strstr((char *)p, BOOT);
    for (size_t i = 0; i < n; i++) {
        /* another boot's id in the first line: the file is set aside, as it should be */
        if (p[i] == '\n' || (p + i >= (const uint8_t *)boot && p + i < (const uint8_t *)boot + strlen(BOOT)))
            continue;
        p[i] ^= 1;
        assert_int_equal(file_write_atomic(m->log, bytes_of(p, n), 0600, &err), 0);
        log = NULL;
        if (measured_log_open(m->log, BOOT, m->tpm, pcr14, 1, &log, &err) == 0)
            fail_msg("byte %zu was changed, and nobody saw it", i);
        assert_int_equal(err.kind, ERR_INPUT);
        p[i] ^= 1;
    }
    assert_int_equal(file_write_atomic(m->log, bytes_of(p, n), 0600, &err), 0);
    log = open_log(m, BOOT);
    assert_int_equal(measured_log_count(log), 2);
    measured_log_close(log);
}

static void half_lines_other_boots_and_damage(void **state)
{
    struct machine *m = *state;
    struct measured_log *log = open_log(m, BOOT);
    struct err err = { 0 };
    measured_log_close(log);
    FILE *f = fopen(m->log, "a");
    fputs("{\"seq\":0,\"half", f);
    fclose(f);
    log = open_log(m, BOOT);
    assert_int_equal(measured_log_count(log), 0);
    add(m, log, "act", "one");
    measured_log_close(log);
    file_cut_back(m->log, 1); /* the newline is gone: the record never happened, but its extend did */
    log = open_log(m, BOOT);
    assert_int_equal(measured_log_verdict(log), MEASURED_DISAGREES);
    measured_log_close(log);
    log = open_log(m, "another-boot");
    assert_int_equal(measured_log_verdict(log), MEASURED_AGREES);
    assert_int_equal(measured_log_count(log), 0);
    measured_log_close(log);
    assert_int_equal(file_write_atomic(m->log, bytes_str("not json\n"), 0600, &err), 0);
    log = NULL;
    assert_int_equal(measured_log_open(m->log, BOOT, m->tpm, pcr14, 1, &log, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_non_null(strstr(err.cause, "line 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preimage_has_a_known_answer),
        cmocka_unit_test_setup_teardown(events_replay_to_the_pcr, start, stop),
        cmocka_unit_test_setup_teardown(a_crash_before_the_extend_is_healed, start, stop),
        cmocka_unit_test_setup_teardown(a_foreign_extend_is_seen_and_stops_extending, start, stop),
        cmocka_unit_test_setup_teardown(a_changed_file_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(half_lines_other_boots_and_damage, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
