/* A stand-in for CPython 3.11, as far as the tracer looks at one, to be linked with any C library: the runtime leads to
 * an interpreter, that to its threads' states, each of which is kept in its thread's own storage (a key) and names the
 * context that runs. What takes turns are requests: two threads serve on one port with an event loop each, and do the
 * oracle's Redis steps (see steps.py) in the request's context. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The fields that are read, at the places where 3.11 has them. */
struct type { char head[24]; const char *name; };
struct context { long count; struct type *type; char hidden[24]; unsigned entered; };
struct state {
    struct state *previous, *next;
    struct interpreter *interpreter;
    char hidden[128];
    pthread_t thread;
    char more[64];
    struct context *context;
    char rest[128];
};
struct interpreter { struct interpreter *next; char hidden[8]; struct state *threads; };
struct runtime { char hidden[40]; struct interpreter *first; char rest[64]; };

_Static_assert(__builtin_offsetof(struct context, entered) == 40, "ctx_entered");
_Static_assert(__builtin_offsetof(struct state, thread) == 152, "thread_id");
_Static_assert(__builtin_offsetof(struct state, context) == 224, "context");

static struct type context_type = { .name = "Context" };
static struct state states[2];
static struct interpreter main_interpreter = { .threads = &states[0] };
struct runtime _PyRuntime = { .first = &main_interpreter };
const unsigned Py_Version = 0x030b00f0;

static pthread_key_t key;
static int listener;

/* A client's connection, what is done for its request, and the connection that it is done by. */
struct end { struct client *client; int is_redis; };
struct client {
    int socket, redis, left, number;
    char name[32];
    struct context context;
    struct end ends[2];
};

static int to_redis(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("REDIS_PORT"))) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int redis = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(redis, (struct sockaddr *)&address, sizeof address) != 0)
        exit(1);
    return redis;
}

static void watch(int loop, int socket, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };
    epoll_ctl(loop, EPOLL_CTL_ADD, socket, &event);
}

static void say(int socket, const char *text)
{
    if (write(socket, text, strlen(text)) < 0)
        exit(1);
}

/* The next step, or the answer. */
static void go_on(struct client *client)
{
    char text[256];
    if (client->left-- > 0) {
        char name[64];
        int length = sprintf(name, "%s:%d", client->name, client->number++);
        sprintf(text, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", length, name);
        return say(client->redis, text);
    }
    sprintf(text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(client->name), client->name);
    say(client->socket, text);
}

/* GET /MODE/ID?steps=r0,r5 */
static void begin(struct client *client, const char *request)
{
    client->left = 1;
    client->number = 0;
    if (sscanf(request, "GET /%*[^/]/%31[^?]?", client->name) != 1)
        exit(1);
    for (const char *at = strchr(request, '?'); *at != ' '; at++)
        client->left += *at == ',';
}

static void welcome(int loop)
{
    int accepted = accept(listener, NULL, NULL);
    if (accepted < 0)
        return;
    struct client *client = calloc(1, sizeof *client);
    client->socket = accepted;
    client->redis = to_redis();
    client->context.type = &context_type;
    client->ends[0].client = client->ends[1].client = client;
    client->ends[1].is_redis = 1;
    watch(loop, client->socket, &client->ends[0]);
    watch(loop, client->redis, &client->ends[1]);
}

/* What came for a client, handled in its context. */
static void handle(struct state *state, struct end *end)
{
    struct client *client = end->client;
    struct context *outside = state->context;
    char bytes[4096];
    state->context = &client->context;
    client->context.entered = 1;
    ssize_t length = read(end->is_redis ? client->redis : client->socket, bytes, sizeof bytes - 1);
    if (length > 0) {
        bytes[length] = 0;
        if (!end->is_redis)
            begin(client, bytes);
        go_on(client);
    } else {
        close(client->socket);
        close(client->redis);
    }
    client->context.entered = 0;
    state->context = outside;
}

static void *serve(void *argument)
{
    struct state *state = argument;
    struct context own = { .type = &context_type };
    state->context = &own;
    state->thread = pthread_self();
    pthread_setspecific(key, state);
    int loop = epoll_create1(0);
    watch(loop, listener, NULL);
    for (;;) {
        struct epoll_event ready[8];
        int count = epoll_wait(loop, ready, 8, -1);
        for (int index = 0; index < count; index++) {
            if (ready[index].data.ptr == NULL)
                welcome(loop);
            else
                handle(state, ready[index].data.ptr);
        }
    }
    return NULL;
}

int main(void)
{
    int yes = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT"))) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    /* Not the first key: others use such storage too. */
    pthread_key_t others[2];
    pthread_key_create(&others[0], NULL);
    pthread_key_create(&others[1], NULL);
    pthread_key_create(&key, NULL);
    states[0].next = &states[1];
    states[0].interpreter = states[1].interpreter = &main_interpreter;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0)
        return 1;
    pthread_t second;
    pthread_create(&second, NULL, serve, &states[1]);
    serve(&states[0]);
    return 0;
}
