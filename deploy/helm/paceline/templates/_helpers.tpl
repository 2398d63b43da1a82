{{- define "paceline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "paceline.fullname" -}}
{{- $name := include "paceline.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "paceline.selector" -}}
app.kubernetes.io/name: {{ include "paceline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "paceline.labels" -}}
{{ include "paceline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "paceline.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "paceline.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "paceline.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "paceline.isShared" -}}
{{- if .Values.postgresql.secret.name }}true{{ end -}}
{{- end -}}

{{- define "paceline.hasWorkers" -}}
{{- if or (gt (int .Values.workers.replicas) 0) .Values.workers.autoscaling.enabled }}true{{ end -}}
{{- end -}}

{{/* How Paceline answers, which is also the name of its ports: many a controller goes by it. */}}
{{- define "paceline.scheme" -}}
{{- if dig "server" "tls" "certificate" "" .Values.config }}https{{ else }}http{{ end -}}
{{- end -}}

{{- define "paceline.isEncrypted" -}}
{{- if eq (include "paceline.scheme" .) "https" }}true{{ end -}}
{{- end -}}

{{- define "paceline.baseUrl" -}}
{{- if .Values.baseUrl -}}
{{- .Values.baseUrl | trimSuffix "/" -}}
{{- else if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- printf "%s://%s" (ternary "https" (include "paceline.scheme" .) (not (empty .Values.ingress.tls))) (first .Values.ingress.hosts) -}}
{{- end -}}
{{- end -}}

{{/* The OpenSLO files as a mapping from name to text. */}}
{{- define "paceline.slos" -}}
{{- $slos := dict -}}
{{- if .Values.slos -}}
{{- $slos = .Values.slos -}}
{{- else if .Values.starterSlos -}}
{{- range $path, $_ := .Files.Glob "files/slos/*.yaml" -}}
{{- $_ := set $slos (base $path) ($.Files.Get $path) -}}
{{- end -}}
{{- end -}}
{{- toYaml $slos -}}
{{- end -}}

{{/* paceline.yaml: what the values say, with what the chart itself decides. */}}
{{- define "paceline.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "paceline.slos" . | fromYaml -}}
{{- $_ := set $config "slos" (append (default (list) $config.slos) "slos/*.yaml") -}}
{{- end -}}
{{- with include "paceline.baseUrl" . -}}
{{- $_ := set $config "notify" (merge (default (dict) $config.notify) (dict "base_url" .)) -}}
{{- $_ := set $config "server" (merge (default (dict) $config.server) (dict "url" .)) -}}
{{- end -}}
{{- if not $config.access -}}
{{- $_ := set $config "access" (dict "anonymous" "viewer") -}}
{{- end -}}
{{- if include "paceline.hasWorkers" . -}}
{{- $_ := set $config "replicas" (merge (default (dict) $config.replicas) (dict "collect" "workers")) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What does not fit together, and no schema can say. */}}
{{- define "paceline.check" -}}
{{- if not (include "paceline.isShared" .) -}}
{{- if or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled -}}
{{- fail "replicas: several processes need PostgreSQL; name its secret in postgresql.secret.name, or keep replicas: 1" -}}
{{- end -}}
{{- if include "paceline.hasWorkers" . -}}
{{- fail "workers: they need PostgreSQL; name its secret in postgresql.secret.name, or set workers.replicas: 0" -}}
{{- end -}}
{{- else if not .Values.peopleKey.name -}}
{{- fail "peopleKey.name: processes that share PostgreSQL need one key; name the secret that holds it" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: an ingress needs a host" -}}
{{- end -}}
{{- if and (include "paceline.isEncrypted" .) (hasPrefix "http://" .Values.baseUrl) -}}
{{- fail "baseUrl: with config.server.tls Paceline answers by https alone; expected https://…" -}}
{{- end -}}
{{- if .Values.prometheusRule.rules -}}
{{- if not (.Values.prometheusRule.rules | fromYaml).groups -}}
{{- fail "prometheusRule.rules: no rule file; expected what `paceline rules` writes, given by --set-file" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The restrictions of a container that the restricted Pod Security Standard asks for, and a read-only root. */}}
{{- define "paceline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "paceline.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- with .Values.security }}
{{- if ne .runAsUser nil }}
runAsUser: {{ int64 .runAsUser }}
{{- end }}
{{- if ne .runAsGroup nil }}
runAsGroup: {{ int64 .runAsGroup }}
{{- end }}
{{- if ne .fsGroup nil }}
fsGroup: {{ int64 .fsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}
{{- end -}}

{{/* What every pod of ours has before its containers. */}}
{{- define "paceline.podHead" -}}
automountServiceAccountToken: false
# Kubernetes would name variables after services, such as PACELINE_PORT=tcp://…, which Paceline takes for settings.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "paceline.podSecurity" . | nindent 2 }}
{{- end -}}

{{- define "paceline.storeVolume" -}}
- name: store
  secret:
    secretName: {{ .Values.postgresql.secret.name }}
    defaultMode: 0440
    items: [{key: {{ .Values.postgresql.secret.key | quote }}, path: uri}]
{{- end -}}

{{/* Where probes ask. Kubernetes looks at no certificate then. */}}
{{- define "paceline.probed" -}}
{{- if include "paceline.isEncrypted" . }}port: https, scheme: HTTPS{{ else }}port: http{{ end -}}
{{- end -}}

{{/* The pod of `serve` and of `worker`: called with root, component, resources. */}}
{{- define "paceline.pod" -}}
{{- $root := .root -}}
{{- with .root -}}
metadata:
  labels:
    {{- include "paceline.selector" . | nindent 4 }}
    app.kubernetes.io/component: {{ $.component }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include (print .Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "paceline.serviceAccount" . }}
  {{- include "paceline.podHead" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $index, $constraint := .Values.topologySpreadConstraints }}
  {{- if eq $index 0 }}
  topologySpreadConstraints:
  {{- end }}
    - {{- toYaml $constraint | nindent 6 }}
      labelSelector:
        matchLabels:
          {{- include "paceline.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.component }}
  {{- end }}
  containers:
    - name: paceline
      image: {{ include "paceline.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [{{ $.component }}]
      ports: [{name: {{ include "paceline.scheme" . }}, containerPort: 8080}]
      env:
        - {name: PACELINE_CONFIG, value: /etc/paceline/paceline.yaml}
        - {name: PACELINE_DATA_DIR, value: /data}
        - {name: PACELINE_HOST, value: {{ .Values.listen | quote }}}
        - {name: PACELINE_PORT, value: "8080"}
        - {name: HOME, value: /tmp}
        {{- if include "paceline.isShared" . }}
        - {name: PACELINE_STORE, value: "file:/run/secrets/store/uri"}
        {{- end }}
        {{- with .Values.peopleKey }}
        {{- if .name }}
        - name: PACELINE_PEOPLE_KEY
          valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key | quote }}}}
        {{- end }}
        {{- end }}
        {{- range $name, $secret := .Values.secrets.env }}
        - name: {{ $name }}
          valueFrom: {secretKeyRef: {name: {{ $secret.name }}, key: {{ $secret.key | quote }}}}
        {{- end }}
        {{- range $name, $value := .Values.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      # A large store is derived before the port opens: until then the pod starts, and is not restarted.
      startupProbe:
        httpGet: {path: /healthz, {{ include "paceline.probed" . }}}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ max 1 (ceil (divf .Values.startupSeconds 5.0) | int) }}
      livenessProbe:
        httpGet: {path: /healthz, {{ include "paceline.probed" . }}}
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, {{ include "paceline.probed" . }}}
        periodSeconds: 10
        timeoutSeconds: 5
      resources: {{- toYaml $.resources | nindent 8 }}
      securityContext: {{- include "paceline.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/paceline, readOnly: true}
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        {{- if include "paceline.isShared" . }}
        - {name: store, mountPath: /run/secrets/store, readOnly: true}
        {{- end }}
        {{- if .Values.secrets.files }}
        - {name: secrets, mountPath: /run/secrets/paceline, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      projected:
        sources:
          - configMap: {name: {{ include "paceline.fullname" . }}}
          {{- with include "paceline.slos" . | fromYaml }}
          - configMap:
              name: {{ include "paceline.fullname" $root }}-slos
              items:
                {{- range $name, $_ := . }}
                - {key: {{ $name | quote }}, path: {{ printf "slos/%s" $name | quote }}}
                {{- end }}
          {{- end }}
    - name: tmp
      emptyDir: {}
    {{- if not (include "paceline.isShared" .) }}
    - name: data
      {{- if not .Values.persistence.enabled }}
      emptyDir: {}
      {{- else }}
      persistentVolumeClaim:
        claimName: {{ default (include "paceline.fullname" .) .Values.persistence.existingClaim }}
      {{- end }}
    {{- else }}
    - name: data
      {{- if .Values.clones.storageClass }}
      ephemeral:
        volumeClaimTemplate:
          spec:
            accessModes: [ReadWriteOnce]
            storageClassName: {{ .Values.clones.storageClass }}
            resources: {requests: {storage: {{ .Values.clones.size }}}}
      {{- else }}
      emptyDir: {sizeLimit: {{ .Values.clones.size }}}
      {{- end }}
    {{- include "paceline.storeVolume" . | nindent 4 }}
    {{- end }}
    {{- if .Values.secrets.files }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $name, $secret := .Values.secrets.files }}
          - secret:
              name: {{ $secret.name }}
              items: [{key: {{ $secret.key | quote }}, path: {{ $name | quote }}}]
          {{- end }}
    {{- end }}
{{- end -}}
{{- end -}}
