package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

type message struct {
	Type      string         `json:"type"`
	RequestID string         `json:"request_id,omitempty"`
	Payload   map[string]any `json:"payload"`
	Timestamp time.Time      `json:"timestamp"`
}

type agent struct {
	options
	kube      *http.Client
	clusterID string

	writing sync.Mutex // one for text, yamux and pings
	socket  *websocket.Conn
	tunnel  *tunnelConn // set once gateway_hello was acknowledged

	bodies   map[string]*io.PipeWriter
	bodiesMu sync.Mutex
	relays   map[string]*relay
	relaysMu sync.Mutex
}

func newAgent(o options) *agent {
	transport := &http.Transport{TLSClientConfig: trust(o.kubeCA), ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 256}
	return &agent{
		options: o,
		kube: &http.Client{
			Transport: transport,
			Timeout:   o.kubeTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
		bodies: map[string]*io.PipeWriter{},
		relays: map[string]*relay{},
	}
}

// connect runs one connection to its end; only the first one registers by itself.
func (a *agent) connect(first bool) error {
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second, TLSClientConfig: trust(a.controlCA)}
	header := http.Header{"Authorization": {"Bearer " + a.token}}
	socket, response, err := dialer.Dial(socketURL(a.url), header)
	if err != nil {
		if response != nil {
			return fmt.Errorf("%w (status %d)", err, response.StatusCode)
		}
		return err
	}
	a.socket, a.tunnel = socket, nil
	done := make(chan struct{})
	defer close(done)
	defer socket.Close()
	socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	socket.SetPongHandler(func(string) error {
		return socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	})
	go a.ping(socket, done)
	if first || a.clusterID == "" {
		a.register("fresh")
	}
	err = a.readLoop(socket, done)
	if a.tunnel != nil {
		a.tunnel.Close()
	}
	return err
}

func (a *agent) ping(socket *websocket.Conn, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(10 * time.Second):
			a.writing.Lock()
			socket.WriteMessage(websocket.PingMessage, nil)
			a.writing.Unlock()
		}
	}
}

func (a *agent) readLoop(socket *websocket.Conn, done chan struct{}) error {
	for {
		kind, data, err := socket.ReadMessage()
		if err != nil {
			return err
		}
		socket.SetReadDeadline(time.Now().Add(60 * time.Second))
		if kind == websocket.BinaryMessage && a.tunnel != nil {
			a.tunnel.feed(data)
			continue
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			log.Printf("dropped: %v: %.120s", err, data)
			continue
		}
		a.dispatch(m, done)
	}
}

func (a *agent) dispatch(m message, done chan struct{}) {
	switch m.Type {
	case "register_success":
		a.clusterID = text(m.Payload, "cluster_id")
		log.Printf("registered as %s", a.clusterID)
		go a.heartbeats(done)
	case "gateway_hello":
		if use, _ := m.Payload["use_yamux"].(bool); use && a.yamux {
			a.startYamux(m.Payload)
		}
	case "proxy_request":
		a.proxyRequest(m)
	case "proxy_websocket_start", "ws_start":
		a.startRelay(m)
	case "proxy_websocket_data", "ws_data":
		a.relayData(m)
	case "proxy_websocket_close", "ws_close":
		a.relayClose(m)
	case "proxy_request_chunk":
		a.bodyChunk(m)
	case "proxy_request_stream_end":
		if body := a.body(m.RequestID); body != nil {
			body.Close()
		}
	case "proxy_cancel":
		if body := a.body(m.RequestID); body != nil {
			body.CloseWithError(errors.New("request cancelled"))
		}
	case "ping":
		a.send("pong", m.RequestID, map[string]any{"timestamp": time.Now().Format(time.RFC3339)})
	case "error":
		said := strings.ToLower(text(m.Payload, "error"))
		log.Printf("error: %s", said)
		if strings.Contains(said, "not registered") || strings.Contains(said, "cluster not found") {
			a.clusterID = ""
			go a.register("fresh")
		}
	case "heartbeat_ack", "pong", "register_in_progress":
	default:
		log.Printf("unknown message %s", m.Type)
		a.send("protocol_fallback", "", map[string]any{
			"agent_version": "pipeops-k8-agent", "unknown_type": m.Type, "fallback_mode": "legacy_proxy",
			"protocol_version": "1.0", "supported_types": []string{"proxy_request"},
			"timestamp": time.Now().Format(time.RFC3339),
		})
	}
}

func (a *agent) register(mode string) {
	payload := map[string]any{
		"agent_id": a.agentID, "name": a.name, "k8s_version": "v1.31.4+k3s1", "hostname": "pipeops-agent-7c9f",
		"agent_version": "v1.6.0", "server_ip": "203.0.113.9", "region": "DE", "cloud_provider": "hetzner",
		"tunnel_port_config": map[string]any{"kubernetes_api": 6443, "kubelet": 10250, "agent_http": 8080},
		"labels":             map[string]string{"hostname": "pipeops-agent-7c9f", "agent.pipeops.io/version": "v1.6.0"},
		"server_specs":       map[string]any{"cpu_cores": 4, "memory_gb": 7, "disk_gb": 98, "os": "Alpine Linux v3.20"},
		"features": map[string]bool{
			"supports_streaming": true, "supports_binary_protocol": true, "supports_compression": true,
			"supports_websocket_proxy": true, "supports_gateway": true, "supports_response_streaming": a.streaming,
		},
		"metadata": map[string]string{
			"agent_mode": "vm-agent", "registration_mode": mode,
			"registration_timestamp": time.Now().Format(time.RFC3339),
		},
	}
	if a.serviceToken != "" {
		payload["k8s_service_token"] = a.serviceToken
	}
	a.send("register", fmt.Sprintf("req_%d_%s", time.Now().UnixNano(), a.agentID), payload)
}

func (a *agent) heartbeats(done chan struct{}) {
	for {
		a.send("heartbeat", "", map[string]any{
			"cluster_id": a.clusterID, "agent_id": a.agentID, "status": "healthy", "tunnel_status": "connected",
			"metadata": map[string]any{
				"agent_version": "v1.6.0", "k8s_version": "v1.31.4+k3s1", "k8s_nodes": 3, "k8s_pods": 41,
				"gateway_routes": 0, "is_private": true, "cpu_usage": "0%", "memory_usage": "0%",
			},
		})
		select {
		case <-done:
			return
		case <-time.After(a.heartbeat):
		}
	}
}

func (a *agent) send(kind, requestID string, payload map[string]any) {
	var buffer bytes.Buffer
	json.NewEncoder(&buffer).Encode(message{kind, requestID, payload, time.Now()})
	a.writing.Lock()
	defer a.writing.Unlock()
	a.socket.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if err := a.socket.WriteMessage(websocket.TextMessage, buffer.Bytes()); err != nil {
		log.Printf("write: %v", err)
	}
	a.socket.SetWriteDeadline(time.Time{})
}

func text(payload map[string]any, key string) string {
	value, _ := payload[key].(string)
	return value
}

func number(payload map[string]any, key string, otherwise int) int {
	if value, ok := payload[key].(float64); ok {
		return int(value)
	}
	return otherwise
}

func yamuxConfig(payload map[string]any) *yamux.Config {
	given, _ := payload["yamux_config"].(map[string]any)
	config := yamux.DefaultConfig()
	config.LogOutput = log.Writer()
	config.MaxStreamWindowSize = uint32(number(given, "max_stream_window_size", 262144))
	config.KeepAliveInterval = time.Duration(number(given, "keep_alive_interval_seconds", 30)) * time.Second
	config.ConnectionWriteTimeout = time.Duration(number(given, "connection_timeout_seconds", 30)) * time.Second
	return config
}
