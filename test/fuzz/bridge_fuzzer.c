/* Fuzz target for the bridge firmware's core, of clang's libFuzzer: the input's bytes choose what comes over the line.
 *
 * They are commands: raw bytes, packets with right checksums and any content, JPEG files, pauses, runs of the network. Each
 * piece of memory is allocated for itself, so that the address sanitizer sees any byte beyond it. What the core sends is
 * checked: packets, sequence, status, and that no frame is answered twice. `make fuzz` builds and runs it.
 */
#include "fuzzed_board.h"

/* -------------------------------------------------------------------------------------------------------- what comes */

static void check_answer(struct board *board, uint32_t frame)
{
    if (frame < MAX_FRAMES) {
        CHECK(!board->is_answered[frame]);
        board->is_answered[frame] = 1;
    }
}

static void check_result(struct board *board, const uint8_t *payload, int64_t length)
{
    int64_t count = n6_get_u16(payload + 36), size = 40 + 36 * count;
    CHECK(count <= MAX_INSTANCES && size <= length);
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *record = payload + 40 + 36 * i;
        struct seg_window window = {n6_get_u16(record + 22), n6_get_u16(record + 24), n6_get_u16(record + 26),
                                    n6_get_u16(record + 28)};
        int64_t mask_bytes = n6_get_u32(record + 32);
        float logits[GRID * GRID], score = n6_get_f32(record + 16);
        CHECK(score >= 0 && score <= 1 && n6_get_f32(record) < n6_get_f32(record + 8));
        CHECK(n6_get_u16(record + 20) < NUM_CLASSES);
        CHECK(window.left + window.columns <= GRID && window.top + window.rows <= GRID);
        CHECK(mask_bytes <= length - size);
        if (mask_bytes)
            CHECK(seg_unpack_mask(payload + size, mask_bytes, &window, 0, logits) == 0);
        size += mask_bytes;
    }
    CHECK(size == length && n6_get_u32(payload + 8) <= board->answered);
    check_answer(board, n6_get_u32(payload + 8));
}

static void check_payload(struct board *board, const uint8_t *header, const uint8_t *payload, int64_t length)
{
    uint8_t type = header[2];
    uint32_t released, answered;
    CHECK(length >= N6_STATUS_BYTES);
    released = n6_get_u32(payload);
    answered = n6_get_u32(payload + 4);
    if (type == N6_WELCOME) {
        board->session = n6_get_u16(header + 4);
        board->next_sequence = 0;
        board->has_lost = 0;
        board->released = board->answered = 0;
        memset(board->is_answered, 0, sizeof board->is_answered);
    }
    /* Errors about HELLO and about other sessions are not counted. */
    int is_counted = type != N6_ERROR || released || answered || n6_get_u16(header + 6);
    /* What was on its way when the host opened its port anew is lost, perhaps WELCOME of another session. */
    if (n6_get_u16(header + 4) != board->session || !is_counted || board->has_lost)
        return;
    CHECK(n6_get_u16(header + 6) == board->next_sequence);
    board->next_sequence++;
    CHECK(released >= board->released && answered >= board->answered && answered <= released);
    board->released = released;
    board->answered = answered;
    if (type == N6_RESULT)
        check_result(board, payload, length);
    else if (type == N6_ERROR && payload[10] == N6_PICTURE && n6_get_u32(payload + 16) &&
             n6_get_u16(payload + 8) != N6_DAMAGED)
        check_answer(board, n6_get_u32(payload + 16));
    else if (type != N6_ERROR)
        CHECK(length <= (type == N6_MODEL ? MAX_RESULT_BYTES : 2048));
}

/* Check the whole packets that have come; of half a packet the rest may still come. */
static void check_sent(struct board *board)
{
    int32_t at = 0;
    while (board->num_sent - at >= N6_HEADER_BYTES) {
        const uint8_t *header = board->sent + at, *payload = header + N6_HEADER_BYTES;
        int32_t length = (int32_t)n6_get_u32(header + 8);
        CHECK(header[0] == N6_SYNC_0 && header[1] == N6_SYNC_1 && header[2] > N6_FROM_BOARD && header[3] == 0);
        CHECK(n6_crc16(header, 12) == n6_get_u16(header + 12));
        CHECK(length > 0 && length <= N6_CHUNK_BYTES);
        if (board->num_sent - at < N6_HEADER_BYTES + length + N6_CRC_BYTES)
            break;
        uint32_t crc = n6_crc32(&board->tables, header, N6_HEADER_BYTES + length, 0);
        CHECK(crc == n6_get_u32(payload + length));
        check_payload(board, header, payload, length);
        at += N6_HEADER_BYTES + length + N6_CRC_BYTES;
    }
    board->num_sent -= at;
    memmove(board->sent, board->sent + at, (size_t)board->num_sent);
}

/* --------------------------------------------------------------------------------------------------------- commands */

static void poll(struct board *board)
{
    int32_t rounds = 0;
    while (n6_bridge_poll(board->bridge)) {
        check_sent(board);
        CHECK(rounds++ < 100000);
    }
    check_sent(board);
}

static void put_line(struct board *board, const uint8_t *bytes, int32_t count)
{
    if (board->first == board->end)
        board->first = board->end = 0;
    for (int32_t i = 0; i < count && board->end < MAX_LINE_BYTES; i++)
        board->line[board->end++] = bytes[i];
}

static void put_packet(struct board *board, uint8_t type, uint16_t session, uint16_t sequence, const uint8_t *payload,
                       int32_t length)
{
    uint8_t header[N6_HEADER_BYTES] = {N6_SYNC_0, N6_SYNC_1, type}, checksum[N6_CRC_BYTES];
    n6_put_u16(header + 4, session);
    n6_put_u16(header + 6, sequence);
    n6_put_u32(header + 8, (uint32_t)length);
    n6_put_u16(header + 12, n6_crc16(header, 12));
    put_line(board, header, N6_HEADER_BYTES);
    put_line(board, payload, length);
    n6_put_u32(checksum, n6_crc32(&board->tables, payload, length,
                                  n6_crc32(&board->tables, header, N6_HEADER_BYTES, 0)));
    if (length)
        put_line(board, checksum, N6_CRC_BYTES);
}

/* Write a picture's payload: mostly the next frame, of a format and with content from the input. */
static int32_t make_picture(struct board *board, struct input *input, uint8_t *payload)
{
    uint8_t kind = next_byte(input);
    uint32_t frame = kind & 0x40 ? next_byte(input) : board->bridge->newest_frame + 1;
    int32_t size = INPUT_BYTES;
    memset(payload, 0, N6_PICTURE_HEAD_BYTES);
    n6_put_u32(payload, frame);
    payload[4] = kind & 3;
    memset(payload + N6_PICTURE_HEAD_BYTES, kind, INPUT_BYTES);
    int32_t taken = next_bytes(input, payload + N6_PICTURE_HEAD_BYTES, next_u16(input) % 1500);
    if (payload[4] == N6_FORMAT_JPEG)
        size = taken;
    return N6_PICTURE_HEAD_BYTES + size;
}

static void say_packet(struct board *board, struct input *input)
{
    uint8_t payload[N6_PICTURE_HEAD_BYTES + INPUT_BYTES], type = next_byte(input), how = next_byte(input);
    uint16_t session = how & 1 ? next_u16(input) : board->bridge->session;
    uint16_t sequence = how & 2 ? next_u16(input) : board->bridge->expected_sequence;
    int32_t length = 0;
    type = type & 0x80 ? type & 0x7F : type % 5 + 1;
    if (type == N6_PICTURE && !(how & 4)) {
        length = make_picture(board, input, payload);
    } else if (type == N6_HELLO && !(how & 4)) {
        session = (uint16_t)(board->bridge->session % 65535 + 1);
        n6_put_u32(payload, N6_MAGIC);
        n6_put_u32(payload + 4, N6_VERSION);
        length = N6_HELLO_BYTES;
    } else if (type == N6_PING && !(how & 4)) {
        n6_put_u32(payload, next_byte(input));
        length = N6_PING_HEAD_BYTES + next_bytes(input, payload + N6_PING_HEAD_BYTES, next_u16(input) % 1100);
    } else {
        length = next_bytes(input, payload, how & 8 ? 2000 : next_byte(input));
    }
    put_packet(board, type, session, sequence, payload, length);
}

static void obey(struct board *board, struct input *input)
{
    uint8_t bytes[256], command = next_byte(input);
    switch (command % 8) {
    case 0:
        put_line(board, bytes, next_bytes(input, bytes, next_byte(input)));
        break;
    case 1:
        board->now_us += (uint32_t)next_u16(input);
        break;
    case 2:
        board->run_result = command & 8 ? N6_NN_DONE : command & 16 ? -1 - (command >> 5 & 1) : 0;
        break;
    case 3:
        board->write_room = next_byte(input);
        break;
    case 4:
        if (command & 8 && command & 16) {
            board->has_reopened = board->has_lost = 1;
            board->num_sent = 0;
            board->first = board->end = 0;
        }
        break;
    default:
        say_packet(board, input);
    }
    if (!(command & 0x80))
        poll(board);
}

static void fuzz_jpeg(struct input *input)
{
    struct n6_baseline_jpeg *decoder = malloc(sizeof *decoder);
    struct n6_jpeg_port port = n6_baseline_jpeg_port(decoder);
    int32_t width_px = next_byte(input) % 64 + 1, height_px = next_byte(input) % 64 + 1;
    uint8_t *rgb = malloc((size_t)(width_px * height_px * 3));
    int32_t size = (int32_t)(input->size - input->at), state;
    uint8_t *jpeg = malloc((size_t)size + 1);
    next_bytes(input, jpeg, size);
    /* Without the right size nothing goes on: set it where a frame begins. */
    for (int32_t i = 0; i + 8 < size; i++)
        if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xC0) {
            jpeg[i + 5] = jpeg[i + 7] = 0;
            jpeg[i + 6] = (uint8_t)height_px;
            jpeg[i + 8] = (uint8_t)width_px;
        }
    jpeg = realloc(jpeg, (size_t)(size ? size : 1));
    state = port.start(port.context, jpeg, size, rgb, width_px, height_px);
    for (int32_t steps = 0; state == N6_JPEG_RUNNING; steps++) {
        CHECK(steps < 1000);
        state = port.step(port.context);
    }
    CHECK(state == N6_JPEG_DONE || (state < 0 && state >= N6_JPEG_OTHER_SIZE));
    free(jpeg);
    free(rgb);
    free(decoder);
}

static void fuzz_mask(struct input *input)
{
    struct seg_window window = {0, 0, next_byte(input) % 20 + 1, next_byte(input) % 20 + 1};
    int32_t size = next_u16(input) % 2000;
    float mask_logit = (float)(int8_t)next_byte(input);
    float *logits = malloc(sizeof(float) * (size_t)(window.columns * window.rows));
    uint8_t *packed = malloc(4096);
    size = next_bytes(input, packed, size);
    packed = realloc(packed, (size_t)(size ? size : 1));
    if (seg_unpack_mask(packed, size, &window, mask_logit, logits) == 0) {
        uint8_t *again = malloc((size_t)size + 1);
        int64_t packed_bytes = seg_pack_mask(&window, logits, mask_logit, 1, again, size);
        CHECK(packed_bytes == SEG_NO_ROOM || (packed_bytes > 0 && packed_bytes <= size));
        free(again);
    }
    free(packed);
    free(logits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size, 0};
    uint8_t way = next_byte(&input);
    if (way % 4 == 3) {
        fuzz_jpeg(&input);
        return 0;
    }
    if (way % 16 == 2) {
        fuzz_mask(&input);
        return 0;
    }
    struct board *board = calloc(1, sizeof *board);
    make_board(board, &input, way & 0x80 ? 0 : 1);
    board->write_room = 255;
    board->run_result = N6_NN_DONE;
    while (input.at < input.size)
        obey(board, &input);
    free_board(board);
    free(board);
    return 0;
}
