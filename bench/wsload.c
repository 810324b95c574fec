/* A load client that costs little: WebSocket or server-sent events, epoll, one thread, no threads to
 * wake and nothing allocated per message, so that on a shared machine the server is what is measured.
 *
 *     cc -O2 -o wsload wsload.c
 *
 * Every message holds "n":<number> and "t":<CLOCK_MONOTONIC of the sender, ns>, maybe as escaped JSON
 * inside JSON; a frame may hold several. Latencies go into a histogram, numbers into a set.
 *
 * It speaks enough of clarion.v1 to come back as a browser does: it remembers the position of its
 * inbox and names it when it reconnects. Commands come on stdin, one a line: "grow N", "stats",
 * "reset", "quit"; each is answered by a line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { IDLE, CONNECTING, HANDSHAKE, OPEN };

struct client {
    int fd;
    enum state state;
    int greeted;           /* has got a first frame */
    char epoch[40];        /* position of the inbox */
    uint64_t version;
    uint64_t dialled;      /* when, ns */
    uint8_t *rest;         /* of a frame that isn't complete */
    size_t rest_length, rest_size;
    char *ticket;
};

static struct options {
    int clients, first, port, window, addresses, sse, track, cursors, back_ms, seconds;
    const char *path, *tickets;
} opt = {.clients = 1000, .port = 8000, .window = 64, .addresses = 4, .seconds = 600, .path = "/ws/%d/"};

static struct client *clients;
static int epoll, target, dialled, in_flight, announced;
static uint64_t begun, ready_at;
static uint64_t opened, greeted, failed, closed, returned, messages, unique, repeated, other, resets;
static uint64_t first_message, last_message, latency_max, full_at;

/* --- time, and a histogram with 64 steps to each doubling */

#define STEPS 64
static uint64_t latencies[64 * STEPS], handshakes[64 * STEPS];

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int step_of(uint64_t value)
{
    if (value < STEPS)
        return value;
    int exponent = 63 - __builtin_clzll(value);
    return (exponent - 5) * STEPS + ((value >> (exponent - 6)) & 63);
}

static uint64_t value_of(int step)
{
    if (step < STEPS)
        return step;
    return (uint64_t)(64 + step % STEPS) << (step / STEPS - 1);
}

static double percentile(const uint64_t *histogram, double part)
{
    uint64_t total = 0, seen_so_far = 0;
    for (int i = 0; i < 64 * STEPS; i++)
        total += histogram[i];
    if (!total)
        return -1;
    uint64_t wanted = part * total;
    if (wanted >= total)
        wanted = total - 1;
    for (int i = 0; i < 64 * STEPS; i++)
        if ((seen_so_far += histogram[i]) > wanted)
            return value_of(i) / 1e6;
    return -1;
}

/* --- what a message says */

#define NUMBERS (1u << 24)
static uint8_t *seen;

static uint64_t digits(const uint8_t *at, const uint8_t *end)
{
    uint64_t value = 0;
    while (at < end && *at == ' ')
        at++;
    while (at < end && *at >= '0' && *at <= '9')
        value = value * 10 + *at++ - '0';
    return value;
}

/* Behind the next `"name":` or `"name\":`; NULL when there is none. */
static const uint8_t *field(const uint8_t *from, const uint8_t *end, char name)
{
    while (from + 5 < end && (from = memchr(from, '"', end - from - 4))) {
        if (from[1] == name && from[2] == '"' && from[3] == ':')
            return from + 4;
        if (from[1] == name && from[2] == '\\' && from[3] == '"' && from[4] == ':')
            return from + 5;
        from++;
    }
    return NULL;
}

static void count_message(uint64_t number, uint64_t sent, uint64_t at)
{
    uint64_t latency = at > sent ? at - sent : 0;
    messages++;
    if (!first_message)
        first_message = at;
    last_message = at;
    latencies[step_of(latency)]++;
    if (latency > latency_max)
        latency_max = latency;
    if (!opt.track || number >= NUMBERS)
        return;
    if (seen[number])
        repeated++;
    else
        seen[number] = 1, unique++;
}

static int starts(const uint8_t *at, size_t length, const char *with)
{
    size_t wanted = strlen(with);
    return length >= wanted && !memcmp(at, with, wanted);
}

static void remember_position(struct client *c, const uint8_t *at, size_t length)
{
    const uint8_t *end = at + length;
    int hello = starts(at, length, "{\"type\":\"hello\"");
    int reset = starts(at, length, "{\"type\":\"reset\",\"stream\":\"inbox\"");
    resets += reset;
    if (!hello && !reset && !starts(at, length, "{\"type\":\"change\",\"stream\":\"inbox\""))
        return;
    if (memmem(at, length, "\"more\":true", 11))
        return;
    const uint8_t *from = hello ? memmem(at, length, "\"inbox\":", 8) : at;
    const uint8_t *epoch = from ? memmem(from, end - from, "\"epoch\":\"", 9) : NULL;
    const uint8_t *version = epoch ? memmem(epoch, end - epoch, "\"version\":", 10) : NULL;
    if (!version)
        return;
    if (hello && c->epoch[0])
        return; /* what is missing comes in frames of its own */
    size_t n = 0;
    for (epoch += 9; *epoch != '"' && n < sizeof c->epoch - 1; epoch++)
        c->epoch[n++] = *epoch;
    c->epoch[n] = 0;
    c->version = digits(version + 10, end);
}

/* Everybody is in: open, or greeted where the server does that. */
static uint64_t in(void)
{
    return opt.cursors ? greeted : opened;
}

static void note_if_full(uint64_t when)
{
    if (in() == (uint64_t)target)
        full_at = when;
}

static void on_payload(struct client *c, const uint8_t *at, size_t length, uint64_t when)
{
    const uint8_t *end = at + length, *number = at, *sent;
    int found = 0;
    if (!c->greeted) {
        c->greeted = 1;
        greeted++;
        note_if_full(when);
    }
    if (opt.cursors)
        remember_position(c, at, length);
    while ((number = field(number, end, 'n')) && (sent = field(number, end, 't'))) {
        count_message(digits(number, end), digits(sent, end), when);
        number = sent;
        found = 1;
    }
    other += !found;
}

/* --- connections */

static void watch(struct client *c, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.u32 = c - clients};
    epoll_ctl(epoll, operation, c->fd, &event);
}

/* Clients on the way back, in the order of their time: a heap would be neater, but there are few. */
static uint64_t *back_at;
static int waiting;

static void drop(struct client *c)
{
    if (c->state == CONNECTING || c->state == HANDSHAKE)
        in_flight--, failed++;
    if (c->state == OPEN)
        opened--, closed++;
    if (c->greeted)
        greeted--;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1, c->rest_length = 0, c->greeted = 0, c->state = IDLE;
    if (opt.back_ms) {
        back_at[c - clients] = now() + (rand() % (opt.back_ms * 1000)) * 1000ull;
        waiting++;
    }
}

static void dial(int i)
{
    struct client *c = clients + i;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        perror("socket");
        exit(4);
    }
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i % opt.addresses); /* 28,000 ports are too few */
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(opt.port);
    bind(c->fd, (void *)&from, sizeof from);
    c->state = CONNECTING, c->dialled = now(), in_flight++;
    connect(c->fd, (void *)&to, sizeof to);
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void ask(struct client *c)
{
    char path[2048], request[8192];
    int n = snprintf(path, sizeof path, opt.path, (int)(c - clients) + 1);
    if (opt.cursors && c->epoch[0])
        n += snprintf(path + n, sizeof path - n, "%cinbox=%s.%lu", strchr(path, '?') ? '&' : '?',
                      c->epoch, c->version);
    if (opt.sse && c->ticket)
        n += snprintf(path + n, sizeof path - n, "%cticket=%s", strchr(path, '?') ? '&' : '?', c->ticket);
    n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\n",
                 path, opt.port, opt.port);
    if (opt.sse)
        n += snprintf(request + n, sizeof request - n, "Accept: text/event-stream\r\n");
    else
        n += snprintf(request + n, sizeof request - n,
                      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    if (!opt.sse && c->ticket)
        n += snprintf(request + n, sizeof request - n,
                      "Sec-WebSocket-Protocol: clarion.v1, ticket.%s\r\n", c->ticket);
    n += snprintf(request + n, sizeof request - n, "\r\n");
    if (send(c->fd, request, n, MSG_NOSIGNAL) != n) {
        drop(c);
        return;
    }
    c->state = HANDSHAKE;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void on_connected(struct client *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
        drop(c);
    else
        ask(c);
}

/* RFC 6455: a control frame of the client's, masked with zeros. */
static void answer(struct client *c, int opcode, const uint8_t *data, size_t length)
{
    uint8_t frame[140] = {0x80 | opcode, 0x80 | length};
    memcpy(frame + 6, data, length);
    send(c->fd, frame, length + 6, MSG_NOSIGNAL);
}

/* Returns the bytes used, or -1 when the server ends the connection. */
static long take_events(struct client *c, const uint8_t *at, size_t length, uint64_t when)
{
    size_t used = 0;
    const uint8_t *end;
    while ((end = memchr(at + used, '\n', length - used))) {
        size_t line = end - (at + used);
        if (line > 6 && !memcmp(at + used, "data: ", 6))
            on_payload(c, at + used + 6, line - 6, when);
        used += line + 1;
    }
    return used;
}

static long take_frames(struct client *c, const uint8_t *at, size_t length, uint64_t when)
{
    size_t used = 0;
    while (length - used >= 2) {
        const uint8_t *head = at + used;
        size_t head_size = 2;
        uint64_t size = head[1] & 127;
        if (size == 126 && (head_size = 4, length - used >= 4))
            size = head[2] << 8 | head[3];
        else if (size == 127 && (head_size = 10, length - used >= 10))
            for (int i = size = 0; i < 8; i++)
                size = size << 8 | head[2 + i];
        if (length - used < head_size + size)
            break;
        const uint8_t *data = head + head_size;
        int opcode = head[0] & 15;
        if (opcode == 8) {
            static int shown;
            if (size > 1 && shown++ < 3)
                fprintf(stderr, "closed by the server: %d\n", data[0] << 8 | data[1]);
            return answer(c, 8, data, size > 2 ? 2 : size), -1;
        }
        if (opcode == 9)
            answer(c, 10, data, size > 125 ? 125 : size);
        if (opcode <= 2)
            on_payload(c, data, size, when);
        used += head_size + size;
    }
    return used;
}

static int accepted(struct client *c, const uint8_t **at, size_t *length, uint64_t when)
{
    const uint8_t *end = memmem(*at, *length, "\r\n\r\n", 4);
    static int shown;
    if (!end)
        return 1;
    if (memcmp(*at + 9, opt.sse ? "200" : "101", 3)) {
        if (!shown++)
            fprintf(stderr, "handshake refused: %.200s\n", *at);
        drop(c);
        return 0;
    }
    *length -= end + 4 - *at, *at = end + 4;
    c->state = OPEN, in_flight--, opened++;
    handshakes[step_of(when - c->dialled)]++;
    note_if_full(when);
    return 1;
}

static void keep(struct client *c, const uint8_t *at, size_t length)
{
    if (length > c->rest_size)
        c->rest = realloc(c->rest, c->rest_size = length + 4096);
    if (length)
        memcpy(c->rest, at, length);
    c->rest_length = length;
}

static void on_readable(struct client *c)
{
    static uint8_t buffer[1 << 20];
    size_t before = c->rest_length;
    memcpy(buffer, c->rest ? c->rest : buffer, before);
    ssize_t got = recv(c->fd, buffer + before, sizeof buffer - before, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(c);
        return;
    }
    const uint8_t *at = buffer;
    size_t length = before + got;
    uint64_t when = now();
    if (c->state == HANDSHAKE && !accepted(c, &at, &length, when))
        return;
    if (c->state == OPEN) {
        long used = (opt.sse ? take_events : take_frames)(c, at, length, when);
        if (used < 0) {
            drop(c);
            return;
        }
        at += used, length -= used;
    }
    keep(c, at, length);
}

/* --- commands */

static void report(const char *event)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
                 (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"event\":\"%s\",\"now\":%lu,\"open\":%lu,\"full\":%lu,\"full_at\":%lu,\"failed\":%lu,\"closed\":%lu,"
           "\"returned\":%lu,\"messages\":%lu,\"unique\":%lu,\"repeated\":%lu,\"other\":%lu,\"resets\":%lu,"
           "\"first\":%lu,\"last\":%lu,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f,"
           "\"ready_seconds\":%.4f,\"handshake_p50\":%.4f,\"handshake_p99\":%.4f,\"cpu\":%.4f}\n",
           event, now(), opened, in(), full_at, failed, closed, returned, messages, unique, repeated, other,
           resets, first_message, last_message, percentile(latencies, .5), percentile(latencies, .9),
           percentile(latencies, .99), latency_max / 1e6, ready_at ? (ready_at - begun) / 1e9 : -1,
           percentile(handshakes, .5), percentile(handshakes, .99), cpu);
    fflush(stdout);
}

static void forget(void)
{
    messages = unique = repeated = other = resets = first_message = last_message = latency_max = 0;
    memset(latencies, 0, sizeof latencies);
    if (seen)
        memset(seen, 0, NUMBERS);
}

static void obey(const char *line)
{
    if (!strncmp(line, "stats", 5))
        report("stats");
    else if (!strncmp(line, "reset", 5))
        forget(), report("reset");
    else if (!strncmp(line, "grow ", 5)) {
        target = atoi(line + 5) < opt.clients ? atoi(line + 5) : opt.clients;
        announced = 0, ready_at = 0, begun = now();
    } else
        exit(0);
}

static void on_command(void)
{
    static char line[256];
    static size_t held;
    ssize_t got = read(0, line + held, sizeof line - held - 1);
    if (got == 0)
        exit(0);
    if (got < 0)
        return;
    line[held += got] = 0;
    for (char *end; (end = strchr(line, '\n'));) {
        obey(line);
        held -= end + 1 - line;
        memmove(line, end + 1, held + 1);
    }
}

/* --- the loop */

static void read_tickets(void)
{
    char line[1024];
    FILE *file = opt.tickets ? fopen(opt.tickets, "r") : NULL;
    for (int i = 0; file && i < opt.clients && fgets(line, sizeof line, file); i++) {
        line[strcspn(line, "\n")] = 0;
        clients[i].ticket = strdup(line);
    }
    if (file)
        fclose(file);
}

static void dial_who_is_due(void)
{
    while (dialled < target && in_flight < opt.window)
        dial(dialled++);
    if (!waiting)
        return;
    uint64_t at = now();
    for (int i = 0; i < dialled && waiting; i++)
        if (back_at[i] && back_at[i] <= at && in_flight < opt.window) {
            back_at[i] = 0, waiting--, returned++;
            dial(i);
        }
}

static void look_whether_ready(void)
{
    uint64_t wanted = target;
    if (announced || dialled < target || in_flight || (opened < wanted && opt.back_ms))
        return;
    if (opt.cursors && greeted < opened)
        return; /* ready is who has got a first frame */
    announced = 1;
    ready_at = now();
    report("ready");
}

static int parse(int argc, char **argv)
{
    const struct { const char *name; int *number; const char **text; } known[] = {
        {"--conns", &opt.clients, 0}, {"--first", &opt.first, 0}, {"--port", &opt.port, 0},
        {"--window", &opt.window, 0}, {"--ips", &opt.addresses, 0}, {"--sse", &opt.sse, 0},
        {"--track", &opt.track, 0}, {"--cursors", &opt.cursors, 0}, {"--back-ms", &opt.back_ms, 0},
        {"--secs", &opt.seconds, 0}, {"--path", 0, &opt.path}, {"--tickets", 0, &opt.tickets},
    };
    for (int i = 1; i + 1 < argc; i += 2) {
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(known[k].name, argv[i]))
            k++;
        if (k == sizeof known / sizeof *known)
            return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
        if (known[k].number)
            *known[k].number = atoi(argv[i + 1]);
        else
            *known[k].text = argv[i + 1];
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (parse(argc, argv))
        return 2;
    clients = calloc(opt.clients, sizeof *clients);
    back_at = calloc(opt.clients, sizeof *back_at);
    seen = opt.track ? calloc(NUMBERS, 1) : NULL;
    target = opt.first ? opt.first : opt.clients;
    read_tickets();
    srand(7);
    epoll = epoll_create1(0);
    struct epoll_event commands = {.events = EPOLLIN, .data.u32 = UINT32_MAX}, events[512];
    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &commands);
    begun = now();
    for (uint64_t stop = begun + opt.seconds * 1000000000ull; now() < stop;) {
        dial_who_is_due();
        look_whether_ready();
        int n = epoll_wait(epoll, events, 512, waiting ? 5 : 200);
        for (int i = 0; i < n; i++) {
            struct client *c = clients + events[i].data.u32;
            if (events[i].data.u32 == UINT32_MAX)
                on_command();
            else if (c->state == CONNECTING)
                on_connected(c);
            else if (c->fd >= 0)
                on_readable(c);
        }
    }
    report("out of time");
    return 3;
}
