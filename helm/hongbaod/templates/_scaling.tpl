{{/* What both autoscalers share. */}}

{{- define "hongbaod.scaleTarget" -}}
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" (eq (include "hongbaod.isStateful" .) "true") }}
name: {{ include "hongbaod.fullname" . }}
{{- end -}}

{{/* A burst is over in minutes, and a pod that goes hands its jobs back: up at once, down slowly. */}}
{{- define "hongbaod.scaleBehavior" -}}
{{- if .Values.autoscaling.behavior -}}
{{ toYaml .Values.autoscaling.behavior }}
{{- else -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Percent
      value: 100
      periodSeconds: 15
    - type: Pods
      value: 4
      periodSeconds: 15
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - type: Pods
      value: 1
      periodSeconds: 60
{{- end -}}
{{- end -}}

{{/* The queues in which jobs are: those of all lanes, and those where deferred ones wait for their time. */}}
{{- define "hongbaod.queueRegex" -}}
{{- $prefix := default "hongbao" .Values.config.rabbitmq.prefix | replace "." "[.]" -}}
{{- printf "%s[.]jobs[.].+|%s[.]retry[.].+" $prefix $prefix -}}
{{- end -}}

{{/* RabbitMQ's `queue_messages` is ready and unacked together. */}}
{{- define "hongbaod.outstandingQuery" -}}
{{- $default := printf "sum({__name__=~\"rabbitmq_(detailed_)?queue_messages\", queue=~\"%s\"})" (include "hongbaod.queueRegex" .) -}}
{{- default $default .Values.autoscaling.keda.prometheus.query -}}
{{- end -}}
