/* CRC-32 as in Ethernet and zlib. */
#ifndef VAD_CRC32_H
#define VAD_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what gave `crc` followed by `data`; `crc` is 0 at the start. */
uint32_t vad_crc32(uint32_t crc, const void *data, size_t bytes);

#endif
