/* Settings of services whose values the kernel or the engine would refuse, when images are there and
 * everything is measured: capabilities, signals, sysctls, names and addresses. */
#include "base/auto.h"
#include "workload/compose_reader.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>

#define RTMIN                                                                                                \
    34 /* of glibc, which keeps two of the kernel's 32 to 64 for itself; engines count from it too */
#define RTMAX 64

/* ---- capabilities ---- */

/* capabilities(7), Linux 6.12 */
static const char *const all_capabilities[] = {
    "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
    "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
    "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "FOWNER",          "FSETID",       "IPC_LOCK",
    "IPC_OWNER",       "KILL",         "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
    "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
    "NET_BROADCAST",   "NET_RAW",      "PERFMON",
    "SETFCAP",         "SETGID",       "SETPCAP",
    "SETUID",          "SYSLOG",       "SYS_ADMIN",
    "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
    "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
    "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG",  "WAKE_ALARM",
};

/* podman 4's defaults (containers.conf(5), default_capabilities), and the two that the contract adds. */
static bool harmless(const char *capability)
{
    static const char *const names[] = { "CHOWN",   "DAC_OVERRIDE",     "FOWNER",     "FSETID",
                                         "KILL",    "SETGID",           "SETUID",     "SETFCAP",
                                         "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "NET_RAW" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(names[i], capability))
            return true;
    }
    return false;
}

/* Upper case without "CAP_", as the engine wants it. */
static void read_capabilities(struct compose_reader *r, const struct yaml_node *v, const char *what,
                              struct compose_list *out)
{
    yaml_list(r, v, what, out);
    for (size_t i = 0; i < out->n; i++) {
        struct compose_text *t = &out->item[i];
        char *name = compose_copy(r, bytes_str(t->text));
        for (char *p = name; *p; p++) {
            if (*p >= 'a' && *p <= 'z')
                *p = (char)(*p - 'a' + 'A');
            else if (!(*p >= 'A' && *p <= 'Z') && *p != '_')
                compose_fail(r, t->at, "%s: \"%.40s\" is no capability", what, t->text);
        }
        t->text = !strncmp(name, "CAP_", 4) ? name + 4 : name;
    }
}

void compose_read_cap_add(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    char setting[64];
    read_capabilities(r, v, "cap_add", &s->cap_add);
    for (size_t i = 0; i < s->cap_add.n; i++) {
        snprintf(setting, sizeof(setting), "cap_add %.40s", s->cap_add.item[i].text);
        if (!harmless(s->cap_add.item[i].text))
            compose_refuse(r, s, s->cap_add.item[i].at, "host", setting);
    }
}

void compose_read_cap_drop(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    const struct compose_list *list = &((struct compose_service *)target)->cap_drop;
    read_capabilities(r, v, "cap_drop", &((struct compose_service *)target)->cap_drop);
    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->item[i].text;
        bool known = !strcmp(name, "ALL");
        for (size_t k = 0; k < ARRAY_SIZE(all_capabilities); k++)
            known = known || !strcmp(all_capabilities[k], name);
        if (!known)
            compose_fail(r, list->item[i].at, "cap_drop: \"%.40s\" is no capability", name);
    }
}

/* ---- signals ---- */

/* Up to two digits. @return -1: none */
static int small_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n && n <= 2 && !text[n] ? atoi(text) : -1;
}

/* "SIGUSR1", "usr1", "SIGRTMIN+3", "RTMAX-1" or a number. @return 0: none */
static int signal_of(const char *text)
{
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    bool low = !strncasecmp(name, "RTMIN", 5);
    int number = 0;
    if (isdigit((unsigned char)*text)) {
        number = small_number(text);
    } else if (low || !strncasecmp(name, "RTMAX", 5)) {
        int offset = !name[5] ? 0 : name[5] == (low ? '+' : '-') ? small_number(name + 6) : -1;
        number = offset < 0 || offset > RTMAX - RTMIN ? 0 : low ? RTMIN + offset : RTMAX - offset;
    } else {
        for (int i = 1; i < RTMIN && !number; i++) {
            const char *abbreviation = sigabbrev_np(i);
            if (abbreviation && !strcasecmp(abbreviation, name))
                number = i;
        }
    }
    return number > 0 && number <= RTMAX ? number : 0;
}

void compose_read_stop_signal(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    const char *text = yaml_text(r, v, "stop_signal");
    int number = signal_of(text);
    if (!number)
        compose_fail(r, v->at, "stop_signal: no signal is called \"%.40s\"", text);
    ((struct compose_service *)target)->stop_signal = number;
}

/* ---- sysctls ---- */

/* Those that belong to a namespace (runc 1.1, libcontainer/configs/validate): others are the machine's. The
 * network's own follow in compose_link(). */
void compose_read_sysctls(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                       "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                       "kernel.shmmni", "kernel.shm_rmid_forced" };
    struct compose_pairs *pairs = &((struct compose_service *)target)->sysctls;
    yaml_pairs(r, v, "sysctls", "=", pairs);
    for (size_t i = 0; i < pairs->n; i++) {
        const struct compose_pair *p = &pairs->item[i];
        bool own = !strncmp(p->key, "net.", 4) || !strncmp(p->key, "fs.mqueue.", 10);
        for (size_t k = 0; k < ARRAY_SIZE(ipc); k++)
            own = own || !strcmp(ipc[k], p->key);
        if (!own)
            compose_fail(r, p->at,
                         "sysctls: %.60s is the whole machine's: a container has net.*, fs.mqueue.*, "
                         "kernel.msg*, kernel.sem and kernel.shm*",
                         p->key);
        if (!p->value || !*p->value)
            compose_fail(r, p->at, "sysctls: %.60s: a value is missing", p->key);
    }
}

/* ---- names and addresses ---- */

static bool is_name(const char *text)
{
    size_t n = strlen(text);
    return n && n <= 253
           && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

void compose_read_extra_hosts(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_pairs *pairs = &((struct compose_service *)target)->extra_hosts;
    yaml_pairs(r, v, "extra_hosts", "=:", pairs);
    for (size_t i = 0; i < pairs->n; i++) {
        struct compose_pair *p = &pairs->item[i];
        struct bytes value = bytes_str(p->value ? p->value : "");
        if (value.n > 2 && value.p[0] == '[' && value.p[value.n - 1] == ']') /* of an IPv6 address */
            p->value = compose_copy(r, bytes_of(value.p + 1, value.n - 2));
        if (!is_name(p->key) || !p->value
            || (!compose_is_address(p->value) && strcmp(p->value, "host-gateway") != 0))
            compose_fail(r, p->at, "extra_hosts: \"%.60s\": want NAME=ADDRESS, or NAME=host-gateway", p->key);
    }
}

void compose_read_dns(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_list *list = &((struct compose_service *)target)->dns;
    yaml_list_or_text(r, v, "dns", list);
    for (size_t i = 0; i < list->n; i++) {
        if (!compose_is_address(list->item[i].text))
            compose_fail(r, list->item[i].at, "dns: \"%.60s\" is no address", list->item[i].text);
    }
}

void compose_read_dns_search(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_list *list = &((struct compose_service *)target)->dns_search;
    yaml_list_or_text(r, v, "dns_search", list);
    for (size_t i = 0; i < list->n; i++) {
        if (!is_name(list->item[i].text))
            compose_fail(r, list->item[i].at, "dns_search: \"%.60s\" is no domain", list->item[i].text);
    }
}
