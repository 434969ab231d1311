package main

import (
	"encoding/base64"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
)

// relay is one WebSocket of the API server (reference protocol §2.6.1), with its lossy translation of channels.
type relay struct {
	agent     *agent
	id        string
	input     chan [2][]byte // opcode, payload
	done      chan struct{}
	translate bool
}

func (a *agent) startRelay(m message) {
	id := text(m.Payload, "stream_id")
	if id == "" {
		a.send("proxy_error", m.RequestID, map[string]any{"error": "missing stream_id", "request_id": m.RequestID})
		return
	}
	r := &relay{agent: a, id: id, input: make(chan [2][]byte, 100), done: make(chan struct{})}
	a.relaysMu.Lock()
	a.relays[id] = r
	a.relaysMu.Unlock()
	go r.run(m.Payload)
}

func (a *agent) relayOf(m message) *relay {
	a.relaysMu.Lock()
	defer a.relaysMu.Unlock()
	return a.relays[text(m.Payload, "stream_id")]
}

func (a *agent) relayData(m message) {
	data, err := base64.StdEncoding.DecodeString(text(m.Payload, "data"))
	r := a.relayOf(m)
	if r == nil || err != nil || len(data) == 0 {
		return
	}
	select {
	case r.input <- [2][]byte{data[:1], data[1:]}:
	default:
		log.Printf("relay %s: input dropped", r.id)
	}
}

func (a *agent) relayClose(m message) {
	if r := a.relayOf(m); r != nil {
		close(r.done)
	}
}

func (r *relay) run(payload map[string]any) {
	a := r.agent
	defer func() {
		a.relaysMu.Lock()
		delete(a.relays, r.id)
		a.relaysMu.Unlock()
		a.send("proxy_websocket_close", r.id, map[string]any{"stream_id": r.id})
	}()
	conn, response, err := r.dial(payload)
	if err != nil {
		said := "failed to connect to K8s API: " + err.Error()
		if response != nil {
			said += " (status: " + strings.SplitN(response.Status, " ", 2)[0] + ")"
		}
		a.send("proxy_error", r.id, map[string]any{"error": said, "request_id": r.id})
		return
	}
	protocol := conn.Subprotocol()
	r.translate = protocol == "channel.k8s.io" || strings.HasSuffix(protocol, ".channel.k8s.io")
	go r.write(conn)
	r.read(conn)
}

func (r *relay) dial(payload map[string]any) (*websocket.Conn, *http.Response, error) {
	target, err := url.Parse(r.agent.kubeURL)
	if err != nil {
		return nil, nil, err
	}
	target.Scheme = strings.Replace(target.Scheme, "http", "ws", 1)
	target.Path, target.RawQuery = text(payload, "path"), text(payload, "query")
	header := http.Header{}
	given, _ := payload["headers"].(map[string]any)
	for name, value := range given {
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, one := range values {
			if s, ok := one.(string); ok && !strings.HasPrefix(strings.ToLower(name), "sec-websocket-") {
				header.Add(name, s)
			}
		}
	}
	dialer := websocket.Dialer{TLSClientConfig: trust(r.agent.kubeCA)}
	for _, protocol := range strings.Split(text(payload, "protocol"), ",") {
		if protocol = strings.TrimSpace(protocol); protocol != "" {
			dialer.Subprotocols = append(dialer.Subprotocols, protocol)
		}
	}
	return dialer.Dial(target.String(), header)
}

func (r *relay) write(conn *websocket.Conn) {
	defer conn.Close()
	for {
		select {
		case <-r.done:
			return
		case frame := <-r.input:
			kind, data := int(frame[0][0]), frame[1]
			if kind == websocket.TextMessage && r.translate {
				kind, data = websocket.BinaryMessage, append([]byte{0}, data...)
			}
			if err := conn.WriteMessage(kind, data); err != nil {
				return
			}
		}
	}
}

func (r *relay) read(conn *websocket.Conn) {
	defer conn.Close()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.BinaryMessage && r.translate && len(data) > 0 && data[0] <= 3 {
			kind, data = websocket.TextMessage, data[1:]
		}
		packed := base64.StdEncoding.EncodeToString(append([]byte{byte(kind)}, data...))
		r.agent.send("proxy_websocket_data", r.id, map[string]any{"data": packed, "stream_id": r.id})
	}
}
