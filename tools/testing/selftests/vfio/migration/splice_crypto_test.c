// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that a device donates to its stream are its live memory. A splice hands them
 * on without a copy, and some of the kernel's receivers decrypt where the data are:
 * AF_ALG ("Copy Fail"), kTLS, ESP. Whatever they make of a saving device's pages, its
 * memory stays what it was. A device that copies into its stream is the control.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <linux/if_alg.h>
#include <linux/tls.h>
#include <linux/udp.h>

#include <libvfio_migration.h>

#ifndef TCP_ULP
#define TCP_ULP		31
#endif

#define PAGES		64
#define STATE_SIZE	(PAGES * 4096)
/* Of one operation or record: less than any of the receivers takes at once. */
#define PIECE		8192
/* Bytes by which a ciphertext is longer. */
#define TAG		16

FIXTURE(crypto) {
	struct vfm_device *dev;
	int fd;			/* data fd, in STOP_COPY */
	int pipe[2];
	u64 hash;
	u8 before[STATE_SIZE];
	u8 after[STATE_SIZE];
	u8 out[2 * PIECE];
};

FIXTURE_VARIANT(crypto) {
	bool donate;
};

FIXTURE_VARIANT_ADD(crypto, donated) { .donate = true };
FIXTURE_VARIANT_ADD(crypto, copied) { .donate = false };

/* All pages are written, since only those are donated. */
static void fill_memory(FIXTURE_DATA(crypto) *self)
{
	struct vfm_rng rng = vfm_rng(0);
	size_t i;

	for (i = 0; i < sizeof(self->before); i++)
		self->before[i] = vfm_random(&rng);
	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 0, self->before,
		      sizeof(self->before));
}

FIXTURE_SETUP(crypto)
{
	signal(SIGPIPE, SIG_IGN);
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", STATE_SIZE);
	vfm_attr_set(self->dev, "donate", variant->donate);
	vfm_open(self->dev);
	fill_memory(self);
	ASSERT_EQ(0, pipe(self->pipe));
	self->fd = vfm_enter(self->dev, VFM_STOP_COPY);
	self->hash = vfm_state_hash(self->dev);
}

FIXTURE_TEARDOWN(crypto)
{
	close(self->fd);
	close(self->pipe[0]);
	close(self->pipe[1]);
	vfm_destroy(self->dev);
}

/* As a stopped device shows it, since the hash may be remembered. */
static void assert_unchanged(FIXTURE_DATA(crypto) *self)
{
	vfm_bar_read(self->dev, MIGSIM_BAR_MEM, 0, self->after,
		     sizeof(self->after));
	VFIO_ASSERT_EQ(memcmp(self->before, self->after, sizeof(self->after)), 0,
		       "the device's memory was written to");
	vfm_set_state_nofd(self->dev, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), self->hash);
}

/* The next bytes of the stream into the pipe, PIECE or the last; 0 at the end. */
static size_t next_piece(FIXTURE_DATA(crypto) *self)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = splice(self->fd, NULL, self->pipe[1], NULL, PIECE - done, 0);
		VFIO_ASSERT_LE(0, n, "%s", strerror(errno));
		done += n;
	} while (n && done < PIECE);
	return done;
}

/* Out of the pipe; references, if @to takes them. 0 or -errno. */
static int pass_on(FIXTURE_DATA(crypto) *self, int to, size_t len)
{
	ssize_t n;

	for (; len; len -= n) {
		n = splice(self->pipe[0], NULL, to, NULL, len, 0);
		if (n < 0)
			return -errno;
		VFIO_ASSERT_LT(0, n);
	}
	return 0;
}

/*
 * A guest has the kernel's modules where the kernel does not look for them. What is
 * missing shows when it is used.
 */
static void load_modules(const char *names)
{
	const char *image = getenv("VM_IMAGE");
	char cmd[512];

	snprintf_assert(cmd, sizeof(cmd), "modprobe %s%s -q -a %s 2>/dev/null",
			image ? "-d " : "", image ?: "", names);
	if (system(cmd))
		return;
}

struct aead {
	const char *name;
	const char *modules;
	unsigned int key;	/* bytes of it */
	unsigned int iv;
	unsigned int assoc;
};

/* authenc's keys begin with a header: rtattr, and the length of the cipher's. */
static const u8 authenc_key[8 + 32 + 16] = { 8, 0, 1, 0, 0, 0, 0, 16 };

static const struct aead aeads[] = {
	{ "gcm(aes)", "gcm ctr ghash_generic", 16, 12, 16 },
	{ "ccm(aes)", "ccm", 16, 16, 16 },
	{ "rfc4106(gcm(aes))", "gcm", 20, 8, 16 },
	{ "rfc7539(chacha20,poly1305)",
	  "chacha20poly1305 chacha_generic poly1305_generic", 32, 12, 16 },
	{ "authenc(hmac(sha256),cbc(aes))", "authenc hmac sha256_generic cbc",
	  sizeof(authenc_key), 16, 16 },
	{ "authencesn(hmac(sha256),cbc(aes))", "authencesn", sizeof(authenc_key),
	  16, 16 },
};

/* An algorithm with a key, or -1 if the kernel has it not. */
static int alg_open(const struct aead *aead)
{
	struct sockaddr_alg addr = { .salg_family = AF_ALG, .salg_type = "aead" };
	int sock = socket(AF_ALG, SOCK_SEQPACKET, 0);

	if (sock < 0)
		return -1;
	load_modules(aead->modules);
	strcpy((char *)addr.salg_name, aead->name);
	if (bind(sock, (void *)&addr, sizeof(addr)) ||
	    setsockopt(sock, SOL_ALG, ALG_SET_AEAD_AUTHSIZE, NULL, TAG)) {
		close(sock);
		return -1;
	}
	VFIO_ASSERT_EQ(setsockopt(sock, SOL_ALG, ALG_SET_KEY, authenc_key,
				  aead->key), 0, "%s: %s", aead->name,
		       strerror(errno));
	return sock;
}

static void add_control(struct msghdr *msg, struct cmsghdr **cmsg, int type,
			const void *data, size_t len)
{
	*cmsg = *cmsg ? CMSG_NXTHDR(msg, *cmsg) : CMSG_FIRSTHDR(msg);
	VFIO_ASSERT_TRUE(*cmsg);
	(*cmsg)->cmsg_level = SOL_ALG;
	(*cmsg)->cmsg_type = type;
	(*cmsg)->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(*cmsg), data, len);
}

/* What is to be done with the data that follow. */
static void alg_begin(int op, const struct aead *aead, u32 what)
{
	struct { u32 len; u8 iv[16]; } iv = { .len = aead->iv };
	char control[256] = { 0 };
	struct msghdr msg = {
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(sizeof(what)) +
				  CMSG_SPACE(sizeof(u32) + aead->iv) +
				  CMSG_SPACE(sizeof(u32)),
	};
	struct cmsghdr *cmsg = NULL;

	/* ccm: the size of its counter. */
	iv.iv[0] = 1;
	add_control(&msg, &cmsg, ALG_SET_OP, &what, sizeof(what));
	add_control(&msg, &cmsg, ALG_SET_IV, &iv, sizeof(u32) + aead->iv);
	add_control(&msg, &cmsg, ALG_SET_AEAD_ASSOCLEN, &aead->assoc, sizeof(u32));
	VFIO_ASSERT_EQ(sendmsg(op, &msg, MSG_MORE), 0, "%s: %s", aead->name,
		       strerror(errno));
}

/* A piece of the stream as it is, by one operation. False at the end of it. */
static bool alg_piece(FIXTURE_DATA(crypto) *self, int sock,
		      const struct aead *aead, u32 what)
{
	/* Of blocks, so that the cipher gets to it. */
	size_t len = next_piece(self) & ~15UL, out;
	int op;

	if (len < PIECE)
		return false;
	op = accept(sock, NULL, 0);
	VFIO_ASSERT_LE(0, op, "%s", strerror(errno));
	alg_begin(op, aead, what);
	VFM_SUCCEEDS(pass_on(self, op, len));
	/* For more than comes out of it, read would wait. */
	out = what == ALG_OP_ENCRYPT ? len + TAG : len - TAG;
	if (read(op, self->out, out) < 0)
		VFIO_ASSERT_EQ(errno, EBADMSG, "%s: %s", aead->name,
			       strerror(errno));
	else
		VFIO_ASSERT_EQ(what, ALG_OP_ENCRYPT, "%s", aead->name);
	close(op);
	return true;
}

static void alg_whole(FIXTURE_DATA(crypto) *self, int sock,
		      const struct aead *aead, u32 what)
{
	unsigned int pieces = 0;

	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(self->fd);
	self->fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	while (alg_piece(self, sock, aead, what))
		pieces++;
	VFIO_ASSERT_LE(STATE_SIZE / PIECE, pieces);
	/* What was left, and no operation took. */
	close(self->pipe[0]);
	close(self->pipe[1]);
	VFIO_ASSERT_EQ(pipe(self->pipe), 0);
}

TEST_F(crypto, af_alg)
{
	unsigned int i, tried = 0;
	int sock;

	load_modules("algif_aead");
	for (i = 0; i < ARRAY_SIZE(aeads); i++) {
		sock = alg_open(&aeads[i]);
		if (sock < 0)
			continue;
		TH_LOG("%s", aeads[i].name);
		alg_whole(self, sock, &aeads[i], ALG_OP_DECRYPT);
		alg_whole(self, sock, &aeads[i], ALG_OP_ENCRYPT);
		assert_unchanged(self);
		tried++;
		close(sock);
	}
	if (!tried)
		SKIP(return, "no AEAD by AF_ALG");
}

/* Both ends of a connection. */
static void connect_loopback(int sock[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	VFIO_ASSERT_EQ(bind(server, (void *)&addr, len), 0, "%s", strerror(errno));
	VFIO_ASSERT_EQ(listen(server, 1), 0);
	VFIO_ASSERT_EQ(getsockname(server, (void *)&addr, &len), 0);
	sock[0] = socket(AF_INET, SOCK_STREAM, 0);
	VFIO_ASSERT_EQ(connect(sock[0], (void *)&addr, len), 0, "%s",
		       strerror(errno));
	sock[1] = accept(server, NULL, NULL);
	VFIO_ASSERT_LE(0, sock[1]);
	close(server);
}

/* @direction: TLS_TX or TLS_RX. */
static int start_tls(int sock, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = { TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	};

	if (setsockopt(sock, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) ||
	    setsockopt(sock, SOL_TLS, direction, &info, sizeof(info)))
		return -errno;
	return 0;
}

/* So much, or the first error. */
static ssize_t receive(FIXTURE_DATA(crypto) *self, int sock, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = recv(sock, self->out, sizeof(self->out), 0);
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		done += n;
	}
	return done;
}

/* Encrypted on the way out, decrypted on the way in. */
TEST_F(crypto, ktls)
{
	size_t len, total = 0;
	int sock[2];

	load_modules("tls");
	connect_loopback(sock);
	if (start_tls(sock[0], TLS_TX) || start_tls(sock[1], TLS_RX))
		SKIP(return, "no kTLS: %s", strerror(errno));
	while ((len = next_piece(self))) {
		ASSERT_EQ(0, pass_on(self, sock[0], len));
		ASSERT_EQ(len, receive(self, sock[1], len));
		total += len;
	}
	ASSERT_LT(STATE_SIZE, total);
	assert_unchanged(self);
	close(sock[0]);
	close(sock[1]);
}

/*
 * A record whose ciphertext are the device's pages: they come in as they went out, and
 * only the receiver decrypts. It finds that they are not what they should be.
 */
static void forge_record(FIXTURE_DATA(crypto) *self, size_t len)
{
	const u8 header[] = { 23, 3, 3, len >> 8, len & 0xff };
	int sock[2];

	connect_loopback(sock);
	VFM_SUCCEEDS(start_tls(sock[1], TLS_RX));
	VFIO_ASSERT_EQ(send(sock[0], header, sizeof(header), MSG_MORE),
		       sizeof(header));
	VFM_SUCCEEDS(pass_on(self, sock[0], len));
	VFIO_ASSERT_EQ(receive(self, sock[1], 1), -EBADMSG);
	close(sock[0]);
	close(sock[1]);
}

TEST_F(crypto, ktls_receiver)
{
	size_t len, total = 0;
	int sock[2], ret;

	load_modules("tls");
	connect_loopback(sock);
	ret = start_tls(sock[1], TLS_RX);
	close(sock[0]);
	close(sock[1]);
	if (ret)
		SKIP(return, "no kTLS: %s", strerror(-ret));
	while ((len = next_piece(self)) == PIECE) {
		forge_record(self, len);
		total += len;
	}
	ASSERT_LE(STATE_SIZE, total);
	assert_unchanged(self);
}

#define SPI	0x4d494753

static int ip_xfrm(const char *args)
{
	char cmd[512];

	snprintf_assert(cmd, sizeof(cmd), "ip xfrm state %s", args);
	return system(cmd);
}

/* A connected pair of sockets, of which the second's datagrams are ESP. */
static int connect_esp(int sock[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int encap = UDP_ENCAP_ESPINUDP;
	socklen_t len = sizeof(addr);
	int i;

	for (i = 0; i < 2; i++) {
		sock[i] = socket(AF_INET, SOCK_DGRAM, 0);
		VFIO_ASSERT_LE(0, sock[i]);
		VFIO_ASSERT_EQ(bind(sock[i], (void *)&addr, sizeof(addr)), 0);
	}
	if (setsockopt(sock[1], IPPROTO_UDP, UDP_ENCAP, &encap, sizeof(encap)))
		return -errno;
	VFIO_ASSERT_EQ(getsockname(sock[1], (void *)&addr, &len), 0);
	VFIO_ASSERT_EQ(connect(sock[0], (void *)&addr, len), 0);
	return 0;
}

/* Datagrams that ESP has thrown away, because they were not authentic. */
static unsigned long esp_refused(void)
{
	FILE *file = fopen("/proc/net/xfrm_stat", "r");
	unsigned long n, found = 0;
	char name[64];

	if (!file)
		return 0;
	while (fscanf(file, "%63s %lu", name, &n) == 2)
		if (!strcmp(name, "XfrmInStateProtoError"))
			found = n;
	fclose(file);
	return found;
}

static bool start_esp(int sock[2])
{
	load_modules("esp4 xfrm_user gcm ctr ghash_generic seqiv");
	return !connect_esp(sock) &&
	       !ip_xfrm("add src 127.0.0.1 dst 127.0.0.1 proto esp spi 0x4d494753 "
			"mode transport "
			"aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128 "
			"encap espinudp 4500 4500 0.0.0.0");
}

TEST_F(crypto, esp_in_udp)
{
	unsigned long refused = esp_refused(), sent = 0;
	struct { __be32 spi, seq; u64 iv; } header = { .spi = htonl(SPI) };
	size_t len;
	int sock[2];

	if (!start_esp(sock))
		SKIP(return, "no ESP in UDP");
	while ((len = next_piece(self)) == PIECE) {
		header.seq = htonl(++sent);
		ASSERT_EQ(sizeof(header), send(sock[0], &header, sizeof(header),
					       MSG_MORE));
		ASSERT_EQ(0, pass_on(self, sock[0], len));
	}
	ASSERT_LE(STATE_SIZE / PIECE, sent);
	ip_xfrm("delete src 127.0.0.1 dst 127.0.0.1 proto esp spi 0x4d494753");
	close(sock[0]);
	close(sock[1]);
	ASSERT_EQ(refused + sent, esp_refused());
	assert_unchanged(self);
}

TEST_HARNESS_MAIN
