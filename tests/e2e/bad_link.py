"""A link between devices and a daemon that is cut, or hardly moves. The daemon is reached at another address of this machine, so
that both of its ports go through it: gRPC as it is, blobs as badly as is asked for."""
import socket
import threading

HOST = "127.0.0.2"


class BadLink:
    """Forwards HOST's ports to 127.0.0.1's. `cut`: a connection to the blobs' port gives so many bytes and ends; `trickle`: it
    gives a byte in so many seconds."""

    def __init__(self, grpc, http, cut=None, trickle=None):
        self.cut, self.trickle = cut, trickle
        self.given = 0  # bytes of blobs, TLS and all
        self.connections = 0
        self.over = threading.Event()
        self.sockets = []
        self.lock = threading.Lock()
        self.grpc = f"{HOST}:{grpc.rsplit(':', 1)[1]}"
        for address, bad in ((grpc, False), (http, True)):
            port = int(address.rsplit(":", 1)[1])
            listener = socket.create_server((HOST, port))
            self.sockets.append(listener)
            threading.Thread(target=self.accept, args=(listener, port, bad), daemon=True).start()

    def close(self):
        self.over.set()
        with self.lock:
            for one in self.sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()

    def accept(self, listener, port, bad):
        while not self.over.is_set():
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                return
            with self.lock:
                self.connections += bad
                self.sockets += [client, server]
            threading.Thread(target=self.forward, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, self if bad else None), daemon=True).start()

    def forward(self, source, sink, bad):
        left = bad.cut if bad and bad.cut else None
        try:
            while data := source.recv(1 if bad and bad.trickle and self.given > 20_000 else 4096):
                if bad and bad.trickle and self.given > 20_000:
                    self.over.wait(bad.trickle)
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                sink.sendall(data)
                if bad:
                    self.given += len(data)
                if left == 0:
                    break
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
