#include "agent/openapi.h"

extern const unsigned char cvm_openapi[];
extern const size_t cvm_openapi_size;

struct bytes openapi_document(void)
{
    return bytes_of(cvm_openapi, cvm_openapi_size);
}
