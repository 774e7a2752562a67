{{/* The template of the pods, the same for Deployment and StatefulSet. */}}

{{- define "hongbaod.podTemplate" -}}
metadata:
  labels:
    {{- include "hongbaod.labels" . | nindent 4 }}
    app.kubernetes.io/component: worker
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "hongbaod.toml" . | sha256sum }}
    kubectl.kubernetes.io/default-container: hongbaod
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "hongbaod.podBasics" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "hongbaod.terminationSeconds" . }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with include "hongbaod.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "hongbaod.spread" . }}
  topologySpreadConstraints:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: hongbaod
      {{- include "hongbaod.containerBasics" . | nindent 6 }}
      args: [run]
      ports:
        - name: admin
          containerPort: {{ include "hongbaod.adminPort" . }}
        {{- with .Values.config.notify.listen }}
        - name: notify
          containerPort: {{ include "hongbaod.port" . }}
        {{- end }}
      startupProbe:
        {{- include "hongbaod.probe" (dict "path" "/healthz" "times" .Values.probes.startup) | nindent 8 }}
      livenessProbe:
        {{- include "hongbaod.probe" (dict "path" "/healthz" "times" .Values.probes.liveness) | nindent 8 }}
      readinessProbe:
        {{- include "hongbaod.probe" (dict "path" "/readyz" "times" .Values.probes.readiness) | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "hongbaod.mounts" . | nindent 8 }}
        {{- if .Values.audit.persistence.enabled }}
        - name: audit
          mountPath: {{ .Values.audit.persistence.mountPath }}
          {{- if .Values.audit.persistence.existingClaim }}
          subPathExpr: $(POD_NAME)
          {{- end }}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "hongbaod.volumes" . | nindent 4 }}
    {{- with .Values.audit.persistence }}
    {{- if and .enabled .existingClaim }}
    - name: audit
      persistentVolumeClaim:
        claimName: {{ .existingClaim }}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* What the pod of `helm test` has as well. */}}
{{- define "hongbaod.podBasics" -}}
serviceAccountName: {{ include "hongbaod.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- range $key, $value := .Values.podSecurityContext }}
  {{- if not (kindIs "invalid" $value) }}
  {{ $key }}: {{ toJson $value }}
  {{- end }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hongbaod.containerBasics" -}}
image: {{ include "hongbaod.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
env:
  - name: HONGBAOD_CONFIG
    value: /etc/hongbaod/hongbaod.toml
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "hongbaod.mounts" -}}
- name: config
  mountPath: /etc/hongbaod
  readOnly: true
{{- if include "hongbaod.secretSources" . }}
- name: secrets
  mountPath: /etc/hongbaod-secrets
  readOnly: true
{{- end }}
{{- end -}}

{{- define "hongbaod.volumes" -}}
- name: config
  configMap:
    name: {{ include "hongbaod.fullname" . }}
{{- with include "hongbaod.secretSources" . | trim }}
- name: secrets
  projected:
    # For the group fsGroup, and nobody else.
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "hongbaod.probe" -}}
httpGet:
  path: {{ .path }}
  port: admin
{{ toYaml .times }}
{{- end -}}

{{- define "hongbaod.affinity" -}}
{{- if .Values.affinity -}}
{{ toYaml .Values.affinity }}
{{- else if eq .Values.podAntiAffinity "soft" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "hongbaod.workers" . | nindent 12 }}
{{- else if eq .Values.podAntiAffinity "hard" -}}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "hongbaod.workers" . | nindent 10 }}
{{- end -}}
{{- end -}}

{{- define "hongbaod.spread" -}}
{{- $selector := dict "matchLabels" (include "hongbaod.workers" . | fromYaml) -}}
{{- $default := list -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" -}}
{{- $default = append $default (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway") -}}
{{- end -}}
{{- $given := .Values.topologySpreadConstraints -}}
{{- $constraints := list -}}
{{- range ternary $default $given (kindIs "invalid" $given) -}}
{{- $constraints = append $constraints (merge (deepCopy .) (dict "labelSelector" $selector)) -}}
{{- end -}}
{{- with $constraints }}{{ toYaml . }}{{ end -}}
{{- end -}}
