// A minimal tunnel of the kind Go agents are: hashicorp/yamux over one gorilla/websocket connection, one
// stream and one backend connection for each client connection, no parsing. It is what ours is compared with.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

const bufferBytes = 64 << 10

// messageConn makes a byte stream of binary messages.
type messageConn struct {
	*websocket.Conn
	reader io.Reader
	writes sync.Mutex
}

func (c *messageConn) Read(data []byte) (int, error) {
	for {
		if c.reader == nil {
			_, reader, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			c.reader = reader
		}
		n, err := c.reader.Read(data)
		if err != io.EOF {
			return n, err
		}
		c.reader = nil
		if n > 0 {
			return n, nil
		}
	}
}

func (c *messageConn) Write(data []byte) (int, error) {
	c.writes.Lock()
	defer c.writes.Unlock()
	if err := c.WriteMessage(websocket.BinaryMessage, data); err != nil {
		return 0, err
	}
	return len(data), nil
}

func configuration() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	config.AcceptBacklog = 8192
	return config
}

// splice copies both ways until both directions have ended.
func splice(near net.Conn, far net.Conn) {
	var both sync.WaitGroup
	both.Add(2)
	one := func(to, from net.Conn) {
		defer both.Done()
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		} else {
			_ = to.Close() // closing a yamux stream ends our direction only
		}
	}
	go one(near, far)
	go one(far, near)
	both.Wait()
	_ = near.Close()
	_ = far.Close()
}

func gateway(clients, tunnel string) error {
	var session *yamux.Session
	var guard sync.Mutex
	upgrader := websocket.Upgrader{ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes}
	accept := func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		opened, err := yamux.Server(&messageConn{Conn: socket}, configuration())
		if err != nil {
			return
		}
		guard.Lock()
		session = opened
		guard.Unlock()
	}
	go func() { log.Fatal(http.ListenAndServe(tunnel, http.HandlerFunc(accept))) }()
	listener, err := net.Listen("tcp", clients)
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		guard.Lock()
		current := session
		guard.Unlock()
		if current == nil {
			_ = client.Close()
			continue
		}
		go func() {
			stream, err := current.OpenStream()
			if err != nil {
				_ = client.Close()
				return
			}
			splice(client, stream)
		}()
	}
}

func agent(tunnel, backend string) error {
	dialer := websocket.Dialer{ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes}
	var socket *websocket.Conn
	var err error
	for range [100]struct{}{} {
		if socket, _, err = dialer.Dial("ws://"+tunnel+"/", nil); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	session, err := yamux.Client(&messageConn{Conn: socket}, configuration())
	if err != nil {
		return err
	}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return err
		}
		go func() {
			upstream, err := net.Dial("tcp", backend)
			if err != nil {
				_ = stream.Close()
				return
			}
			splice(stream, upstream)
		}()
	}
}

func main() {
	mode := flag.String("mode", "gateway", "gateway or agent")
	clients := flag.String("clients", "127.0.0.1:9100", "where the gateway takes clients")
	tunnel := flag.String("tunnel", "127.0.0.1:9101", "where the gateway takes the agent")
	backend := flag.String("backend", "127.0.0.1:9000", "where the agent dials")
	flag.Parse()
	if *mode == "agent" {
		log.Fatal(agent(*tunnel, *backend))
	}
	log.Fatal(gateway(*clients, *tunnel))
}
