{{/* One endpoint of a PodMonitor or a ServiceMonitor: `root`, `monitor`. */}}
{{- define "hongbaod.endpoint" -}}
- port: admin
  path: /metrics
  interval: {{ .monitor.interval }}
  scrapeTimeout: {{ .monitor.scrapeTimeout }}
  {{- with .root.Values.config.admin.token_file }}
  {{- if kindIs "map" . }}
  authorization:
    credentials:
      name: {{ .secret }}
      key: {{ .key }}
  {{- end }}
  {{- end }}
  {{- with .monitor.relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
