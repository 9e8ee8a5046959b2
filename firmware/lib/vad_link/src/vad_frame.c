#include "vad_frame.h"

#include "vad_crc32.h"
#include "vad_link_messages.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are sent as they lie in memory");

#define BLOCK_MAX 254u /* greatest number of bytes behind one code byte */

void vad_frame_read(vad_frame_reader_t *reader, uint8_t *data, uint32_t room) {
    *reader = (vad_frame_reader_t){.data = data, .room = room};
}

static void keep(vad_frame_reader_t *reader, uint8_t byte) {
    if (reader->used == reader->room) {
        reader->is_skipping = true;
    } else {
        reader->data[reader->used++] = byte;
    }
}

static vad_frame_event_t end_of_frame(vad_frame_reader_t *reader) {
    const uint32_t least = VAD_LINK_HEAD_BYTES + VAD_LINK_CRC_BYTES;
    uint32_t crc;
    if (reader->is_skipping) {
        return VAD_FRAME_TOO_LONG;
    }
    if (reader->left != 0 || reader->used < least) {
        return VAD_FRAME_DAMAGED;
    }
    const uint32_t body = reader->used - VAD_LINK_CRC_BYTES;
    memcpy(&crc, reader->data + body, sizeof crc);
    return crc == vad_crc32(0, reader->data, body) ? VAD_FRAME_WHOLE : VAD_FRAME_DAMAGED;
}

vad_frame_event_t vad_frame_push(vad_frame_reader_t *reader, uint8_t byte) {
    if (reader->is_ended) {
        vad_frame_read(reader, reader->data, reader->room);
    }
    if (byte == 0) {
        reader->is_ended = true;
        return reader->has_begun ? end_of_frame(reader) : VAD_FRAME_NONE;
    }
    reader->has_begun = true;
    if (reader->is_skipping) {
        return VAD_FRAME_NONE;
    }
    if (reader->left > 0) {
        reader->left--;
        keep(reader, byte);
        return VAD_FRAME_NONE;
    }
    if (reader->owes_zero) {
        keep(reader, 0);
    }
    reader->left = (uint8_t)(byte - 1u);
    reader->owes_zero = byte <= BLOCK_MAX;
    return VAD_FRAME_NONE;
}

static void flush(vad_frame_writer_t *writer, uint16_t bytes) {
    writer->ok = writer->ok && writer->write(writer->block, bytes);
}

/* Names the way to the zero that comes next, or to the end, and opens the next block. */
static void close_block(vad_frame_writer_t *writer) {
    writer->block[writer->code_at] = (uint8_t)(writer->used - writer->code_at);
    if (writer->used + BLOCK_MAX + 2u > VAD_FRAME_BLOCK_BYTES) {
        flush(writer, writer->used);
        writer->used = 0;
    }
    writer->code_at = writer->used++;
}

static void put(vad_frame_writer_t *writer, const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == 0) {
            close_block(writer);
            continue;
        }
        writer->block[writer->used++] = data[i];
        if (writer->used - writer->code_at == BLOCK_MAX + 1u) {
            close_block(writer);
        }
    }
}

void vad_frame_begin(vad_frame_writer_t *writer, uint8_t kind, uint16_t sequence) {
    const uint8_t head[VAD_LINK_HEAD_BYTES] = {
        VAD_LINK_VERSION,
        kind,
        (uint8_t)sequence,
        (uint8_t)(sequence >> 8),
    };
    writer->ok = true;
    writer->crc = 0;
    writer->block[0] = 0; /* ends what noise may have begun */
    writer->code_at = 1;
    writer->used = 2;
    vad_frame_put(writer, head, sizeof head);
}

void vad_frame_put(vad_frame_writer_t *writer, const void *data, size_t bytes) {
    writer->crc = vad_crc32(writer->crc, data, bytes);
    put(writer, data, bytes);
}

bool vad_frame_end(vad_frame_writer_t *writer) {
    const uint32_t crc = writer->crc;
    put(writer, (const uint8_t *)&crc, sizeof crc);
    writer->block[writer->code_at] = (uint8_t)(writer->used - writer->code_at);
    writer->block[writer->used++] = 0;
    flush(writer, writer->used);
    return writer->ok;
}
