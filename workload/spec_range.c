/* ip_range of a subnet: addresses from the first to the last of a prefix, as netavark has them, and back. */
#include "workload/spec_range.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_MAX 16

static int read_address(const char *text, uint8_t out[static ADDRESS_MAX], size_t *n, int *family)
{
    *family = strchr(text, ':') ? AF_INET6 : AF_INET;
    *n = *family == AF_INET6 ? 16 : 4;
    return inet_pton(*family, text, out) == 1 ? 0 : -1;
}

int spec_range_read(const char *cidr, char first[static SPEC_ADDRESS_SIZE],
                    char last[static SPEC_ADDRESS_SIZE])
{
    uint8_t low[ADDRESS_MAX], high[ADDRESS_MAX];
    char address[SPEC_ADDRESS_SIZE];
    const char *slash = strchr(cidr, '/');
    int family;
    size_t n;
    if (!slash || (size_t)(slash - cidr) >= sizeof(address))
        return -1;
    snprintf(address, sizeof(address), "%.*s", (int)(slash - cidr), cidr);
    unsigned long bits = strtoul(slash + 1, NULL, 10);
    if (read_address(address, low, &n, &family) < 0 || bits > 8 * n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        unsigned long own = bits > 8 * i ? bits - 8 * i : 0; /* of this byte */
        uint8_t mask = own >= 8 ? 0xff : (uint8_t)(0xff00u >> own);
        low[i] &= mask;
        high[i] = (uint8_t)(low[i] | (uint8_t)~mask);
    }
    if (bits < 8 * n)
        low[n - 1] |= 1; /* the first of a prefix is the network's own */
    inet_ntop(family, low, first, SPEC_ADDRESS_SIZE);
    inet_ntop(family, high, last, SPEC_ADDRESS_SIZE);
    return 0;
}

int spec_range_write(const char *first, const char *last, char out[static SPEC_ADDRESS_SIZE + 4])
{
    uint8_t low[ADDRESS_MAX], high[ADDRESS_MAX];
    char text[SPEC_ADDRESS_SIZE];
    int family, other;
    size_t n, m, bits = 0;
    if (read_address(first, low, &n, &family) < 0 || read_address(last, high, &m, &other) < 0 || n != m)
        return -1;
    while (bits < 8 * n && !((low[bits / 8] ^ high[bits / 8]) & (0x80u >> bits % 8)))
        bits++;
    for (size_t k = bits; k < 8 * n; k++)
        low[k / 8] &= (uint8_t) ~(0x80u >> k % 8);
    inet_ntop(family, low, text, sizeof(text));
    snprintf(out, SPEC_ADDRESS_SIZE + 4, "%s/%zu", text, bits);
    return 0;
}
