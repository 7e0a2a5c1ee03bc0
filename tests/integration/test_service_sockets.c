/* agent/service_sockets over the agent's own server and an emulated machine: what a service's socket serves,
 * what it does not, and that its evidence is bound to that service. */
#include "emulator_rig.h"

#include "agent/server.h"
#include "agent/service_sockets.h"
#include "agent/tls.h"
#include "base/auto.h"
#include "base/digest.h"
#include "base/json.h"
#include "evidence/service.h"
#include "tpm/attest.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct {
    struct collector *collector;
    struct tls_identity tls;
    struct server *server;
    struct service_sockets *sockets;
    pthread_t loop;
    atomic_bool stop;
    char dir[96];
} t;

static void *accept_loop(void *arg)
{
    (void)arg;
    while (!atomic_load(&t.stop)) {
        struct pollfd wait = { service_sockets_fd(t.sockets), POLLIN, 0 };
        struct err err = { 0 };
        if (poll(&wait, 1, 20) > 0 && service_sockets_accept(t.sockets, t.server, &err) < 0)
            fail_msg("%s", err.cause);
        server_expire(t.server);
    }
    return NULL;
}

static int start(void **state)
{
    (void)state;
    bool locked;
    folder_new(&rig);
    OK(emulator_new("gcp-snp", rig.state, NULL, &rig.e, &err));
    rig.l = emulator_lower(rig.e);
    const struct collector_options options = { .lower = &rig.l, .queue = 128, .queue_outside = 64 };
    OK(collector_new(&options, &t.collector, &err));
    OK(tls_identity_new(&t.tls, &locked, &err));
    snprintf(t.dir, sizeof(t.dir), "%s/services", rig.state);
    OK(service_sockets_new(t.dir, &t.sockets, &err));
    const struct server_options server = { .collector = t.collector,
                                           .tls = &t.tls,
                                           .services = t.sockets,
                                           .emulated = true,
                                           .limits = LIMITS_DEFAULT };
    OK(server_new(&server, &t.server, &err));
    const char *names[] = { "web", "db" };
    OK(service_sockets_set(t.sockets, names, 2, &err));
    return pthread_create(&t.loop, NULL, accept_loop, NULL);
}

static int end(void **state)
{
    atomic_store(&t.stop, true);
    pthread_join(t.loop, NULL);
    server_drain(t.server, 2000);
    collector_free(t.collector);
    server_free(t.server);
    service_sockets_free(t.sockets);
    tls_identity_done(&t.tls);
    return switch_off(state);
}

static int dial(const char *service)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s/agent.sock", t.dir, service);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The status of GET path; the body is the caller's, terminated. */
static unsigned get(const char *service, const char *path, struct buf *body)
{
    AUTO(close_fd) int fd = dial(service);
    AUTO(buf_done) struct buf all = buf_new(64u << 20);
    char chunk[4096];
    unsigned status = 0;
    assert_true(fd >= 0);
    dprintf(fd, "GET %s HTTP/1.1\r\nConnection: close\r\n\r\n", path);
    for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
        buf_put(&all, bytes_of(chunk, (size_t)n));
    buf_u8(&all, 0);
    assert_int_equal(sscanf((const char *)all.p, "HTTP/1.1 %u", &status), 1);
    const char *head_end = strstr((const char *)all.p, "\r\n\r\n");
    assert_non_null(head_end);
    *body = buf_new(64u << 20);
    buf_str(body, head_end + 4);
    buf_u8(body, 0);
    return status;
}

static unsigned status_of_get(const char *service, const char *path)
{
    AUTO(buf_done) struct buf body = buf_new(0);
    return get(service, path, &body);
}

static void what_is_served(void **state)
{
    (void)state;
    assert_int_equal(status_of_get("web", "/healthz"), 200);
    assert_int_equal(status_of_get("web", "/platform"), 200);
    assert_int_equal(status_of_get("db", "/collaterals/abc"), 200);
    assert_int_equal(status_of_get("db", "/offchain/collaterals/abc"), 200);
    assert_int_equal(status_of_get("db", "/offchain-verify"), 405);
    static const char *const not_served[] = {
        "/metrics",      "/golden-measurement", "/openapi.json", "/api-token",   "/journal",
        "/measurements", "/container-logs",     "/sign-message", "/attestation", "/current-cvm-identity-hash"
    };
    for (size_t i = 0; i < ARRAY_SIZE(not_served); i++)
        assert_int_equal(status_of_get("web", not_served[i]), 404);
}

static void evidence_names_and_binds_the_service(void **state)
{
    (void)state;
    AUTO(buf_done)
    struct buf body = buf_new(0), quote = buf_new(1u << 16), magic = buf_new(64), shown = buf_new(64);
    AUTO(json_drop) json_t *document = NULL;
    struct tpm_attest attest;
    uint8_t bound[NONCE_MAX], other[NONCE_MAX];
    assert_int_equal(get("web", "/collaterals/a-nonce", &body), 200);
    OK(json_parse(bytes_of(body.p, body.n - 1), 64u << 20, &document, &err));
    assert_string_equal(json_string_value(json_object_get(document, "service")), "web");
    OK(json_get_b64(document, "magic", &magic, &err));
    OK(json_get_b64(document, "nonce", &shown, &err));
    assert_true(bytes_equal(buf_bytes(&magic), bytes_str("Workload/collaterals")));
    assert_true(bytes_equal(buf_bytes(&shown), bytes_str("a-nonce")));
    OK(json_get_b64(json_object_get(document, "tpm"), "quote", &quote, &err));
    OK(tpm_attest_parse(buf_bytes(&quote), &attest, &err));
    OK(service_nonce("web", bytes_str("a-nonce"), bound, &err));
    OK(service_nonce("db", bytes_str("a-nonce"), other, &err));
    assert_int_equal(attest.extra_data.n, MAGIC_SIZE + NONCE_MAX);
    assert_memory_equal(attest.extra_data.p, "Workload/collaterals", MAGIC_SIZE);
    assert_memory_equal(attest.extra_data.p + MAGIC_SIZE, bound, NONCE_MAX);
    assert_memory_not_equal(bound, other, NONCE_MAX);
}

/* The contract's words, recomputed. */
static void the_bound_nonce(void **state)
{
    (void)state;
    uint8_t bound[NONCE_MAX], want[32];
    OK(service_nonce("web", bytes_str("n"), bound, &err));
    sha256(bytes_of("cvm-agent/service\0web\0n", 23), want);
    assert_memory_equal(bound, want, NONCE_MAX);
}

static void one_service_cannot_use_up_the_machine(void **state)
{
    (void)state;
    unsigned limited = 0;
    for (int i = 0; i < 30; i++)
        limited += status_of_get("db", "/collaterals/x") == 429;
    assert_true(limited > 0);
    assert_int_equal(status_of_get("web", "/collaterals/x"), 200);
    int held[70];
    unsigned refused = 0;
    for (size_t i = 0; i < ARRAY_SIZE(held); i++)
        held[i] = dial("db");
    assert_int_equal(status_of_get("web", "/healthz"), 200);
    for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
        char byte;
        refused += held[i] < 0 || recv(held[i], &byte, 1, MSG_DONTWAIT) == 0;
        close(held[i]);
    }
    assert_true(refused >= ARRAY_SIZE(held) - 64);
}

static void sockets_follow_the_workload(void **state)
{
    (void)state;
    struct stat before, after;
    char folder[128];
    const char *now[] = { "db", "cache" }, *again[] = { "web", "db" };
    snprintf(folder, sizeof(folder), "%s/web", t.dir);
    assert_int_equal(stat(folder, &before), 0);
    OK(service_sockets_set(t.sockets, now, 2, &err));
    assert_int_equal(dial("web"), -1);
    assert_int_equal(status_of_get("cache", "/healthz"), 200);
    OK(service_sockets_set(t.sockets, again, 2, &err));
    assert_int_equal(status_of_get("web", "/healthz"), 200);
    assert_int_equal(dial("cache"), -1);
    assert_int_equal(stat(folder, &after), 0); /* what a container has mounted is still the folder */
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(after.st_mode & 0777, 0755);
    snprintf(folder, sizeof(folder), "%s/web/agent.sock", t.dir);
    assert_int_equal(stat(folder, &after), 0);
    assert_int_equal(after.st_mode & 0777, 0666);
}

/* Longer than the address of a socket can be. */
static void a_long_path(void **state)
{
    (void)state;
    struct service_sockets *s = NULL;
    struct stat st;
    char dir[300], path[400];
    const char *names[] = { "web" };
    int n = snprintf(dir, sizeof(dir), "%s/", rig.state);
    memset(dir + n, 'x', 200);
    dir[n + 200] = '\0';
    snprintf(path, sizeof(path), "%s/web/agent.sock", dir);
    OK(service_sockets_new(dir, &s, &err));
    OK(service_sockets_set(s, names, 1, &err));
    assert_int_equal(stat(path, &st), 0);
    service_sockets_free(s);
    assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_served),
        cmocka_unit_test(evidence_names_and_binds_the_service),
        cmocka_unit_test(the_bound_nonce),
        cmocka_unit_test(sockets_follow_the_workload),
        cmocka_unit_test(one_service_cannot_use_up_the_machine),
        cmocka_unit_test(a_long_path),
    };
    return cmocka_run_group_tests(tests, start, end);
}
