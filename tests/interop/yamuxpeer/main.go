// Command yamuxpeer is hashicorp/yamux behind a command line: the other end of interoperability tests.
//
// It takes one connection (TCP or a unix socket), runs one yamux session on it and prints JSON lines:
// {"event":"listening",...} and {"event":"connected",...} as they happen, and one
// {"event":"result",...} at the end. It exits 0 only if every stream did what its mode promises.
//
// Modes: echo returns every byte of every accepted stream and closes it when the peer has (half close);
// sink reads accepted streams and reports their checksums; send opens streams, writes a payload to each,
// half-closes, and compares what comes back; push is send without waiting for an echo; ping measures
// round trips; idle holds the session open.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

type options struct {
	role, mode, listen, dial string
	streams, parallel, pings int
	bytes                    int64
	chunk                    int
	window                   uint
	keepAlive, timeout       time.Duration
	readDelay, openTimeout   time.Duration
	closeTimeout             time.Duration
	goAwayAfter              int
}

func parse() (options, error) {
	var o options
	flag.StringVar(&o.role, "role", "server", "yamux role: server or client (independent of who dials)")
	flag.StringVar(&o.mode, "mode", "echo", "echo, sink, send, push, ping or idle")
	flag.StringVar(&o.listen, "listen", "", "accept one connection: tcp:HOST:PORT or unix:PATH")
	flag.StringVar(&o.dial, "dial", "", "connect: tcp:HOST:PORT or unix:PATH")
	flag.IntVar(&o.streams, "streams", 1, "send, push: streams to open; echo, sink: streams after which to end (0: when the session ends)")
	flag.IntVar(&o.parallel, "parallel", 16, "send, push: streams open at the same time")
	flag.Int64Var(&o.bytes, "bytes", 1024, "send, push: payload of each stream")
	flag.IntVar(&o.chunk, "chunk", 32*1024, "bytes of one Write")
	flag.UintVar(&o.window, "window", 256*1024, "MaxStreamWindowSize (at least 262144)")
	flag.IntVar(&o.pings, "pings", 3, "ping: round trips to measure")
	flag.DurationVar(&o.keepAlive, "keepalive", 0, "interval of keepalive pings (0: none)")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "give up after this long")
	flag.DurationVar(&o.readDelay, "read-delay", 0, "echo, sink: pause before each Read")
	flag.DurationVar(&o.openTimeout, "open-timeout", 75*time.Second, "StreamOpenTimeout")
	flag.DurationVar(&o.closeTimeout, "close-timeout", 5*time.Minute, "StreamCloseTimeout: after it a half-closed stream is reset")
	flag.IntVar(&o.goAwayAfter, "goaway-after", 0, "echo, sink: send GoAway after accepting this many streams")
	flag.Parse()
	if (o.listen == "") == (o.dial == "") {
		return o, fmt.Errorf("give exactly one of -listen and -dial")
	}
	return o, nil
}

func (o options) connect() (net.Conn, error) {
	if o.dial != "" {
		network, address, err := split(o.dial)
		if err != nil {
			return nil, err
		}
		return net.DialTimeout(network, address, 10*time.Second)
	}
	network, address, err := split(o.listen)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	emit(map[string]any{"event": "listening", "address": listener.Addr().String()})
	return listener.Accept()
}

func split(address string) (network, rest string, err error) {
	network, rest, ok := strings.Cut(address, ":")
	if !ok || (network != "tcp" && network != "unix") {
		return "", "", fmt.Errorf("address %q: expected tcp:HOST:PORT or unix:PATH", address)
	}
	return network, rest, nil
}

func (o options) session(conn net.Conn) (*yamux.Session, error) {
	config := yamux.DefaultConfig()
	config.MaxStreamWindowSize = uint32(o.window)
	config.EnableKeepAlive = o.keepAlive > 0
	if o.keepAlive > 0 {
		config.KeepAliveInterval = o.keepAlive
	}
	config.StreamOpenTimeout = o.openTimeout
	config.StreamCloseTimeout = o.closeTimeout
	config.LogOutput = os.Stderr
	if o.role == "client" {
		return yamux.Client(conn, config)
	}
	return yamux.Server(conn, config)
}

func emit(event map[string]any) {
	if err := json.NewEncoder(os.Stdout).Encode(event); err != nil {
		os.Exit(3)
	}
}

func run() error {
	o, err := parse()
	if err != nil {
		return err
	}
	conn, err := o.connect()
	if err != nil {
		return err
	}
	time.AfterFunc(o.timeout, func() {
		emit(map[string]any{"event": "result", "ok": false, "error": "timeout after " + o.timeout.String()})
		os.Exit(1)
	})
	session, err := o.session(conn)
	if err != nil {
		return err
	}
	emit(map[string]any{"event": "connected", "role": o.role, "mode": o.mode})
	began := time.Now()
	result, ok := o.perform(session)
	result["event"], result["ok"], result["seconds"] = "result", ok, time.Since(began).Seconds()
	emit(result)
	// A peer may still be reading what we sent: leave the last word to it for a moment.
	select {
	case <-session.CloseChan():
	case <-time.After(200 * time.Millisecond):
	}
	session.Close()
	if !ok {
		os.Exit(1)
	}
	return nil
}

func (o options) perform(session *yamux.Session) (result map[string]any, ok bool) {
	switch o.mode {
	case "echo", "sink":
		return o.accept(session)
	case "send", "push":
		return o.open(session)
	case "ping":
		return o.ping(session)
	case "idle":
		<-session.CloseChan()
		return map[string]any{}, true
	}
	return map[string]any{"error": "unknown mode " + o.mode}, false
}

func (o options) ping(session *yamux.Session) (map[string]any, bool) {
	var millis []float64
	for range o.pings {
		rtt, err := session.Ping()
		if err != nil {
			return map[string]any{"rtt_ms": millis, "error": err.Error()}, false
		}
		millis = append(millis, float64(rtt.Microseconds())/1000)
	}
	return map[string]any{"rtt_ms": millis}, true
}

func main() {
	if err := run(); err != nil && err != io.EOF {
		emit(map[string]any{"event": "result", "ok": false, "error": err.Error()})
		os.Exit(1)
	}
}
