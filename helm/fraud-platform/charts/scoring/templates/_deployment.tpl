{{/* Deployment of one side: (dict "root" $ "role" "champion" "component" "scoring" "side" values). */}}
{{- define "fraud-platform.scoring.deployment" -}}
{{- $values := .root.Values -}}
{{- $global := $values.global -}}
{{- $names := dict "root" .root "component" .component -}}
{{- $repository := .side.repository | default $values.champion.repository | default $global.images.scoring.repository -}}
{{- $tag := .side.tag | default $values.champion.tag | default $global.images.scoring.tag -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "fraud-platform.metadata" $names | nindent 2 }}
spec:
  {{- if or (eq $values.autoscaling.kind "none") (ne .role "champion") }}
  replicas: {{ include "fraud-platform.scoring.replicas" . }}
  {{- end }}
  revisionHistoryLimit: 5
  # A pod that never gets ready fails the update a little after its probe has given up.
  progressDeadlineSeconds: {{ add $values.startupSeconds 60 }}
  {{- if include "fraud-platform.scoring.alone" .root }}
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  {{- end }}
  selector:
    matchLabels:
      {{- include "fraud-platform.selectorLabels" $names | nindent 6 }}
  template:
    metadata:
      {{- include "fraud-platform.podMetadata" (merge (dict "extraLabels" (dict "fraud-platform/serves" "transactions")) $names) | nindent 6 }}
    spec:
      {{- include "fraud-platform.pod" (dict "root" .root "component" "scoring" "priorityClassName" $values.priorityClassName "terminationSeconds" $values.terminationSeconds) | nindent 6 }}
      {{- with $values.topologySpread.key }}
      topologySpreadConstraints:
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: {{ $values.topologySpread.whenUnsatisfiable }}
          labelSelector:
            matchLabels:
              {{- include "fraud-platform.selectorLabels" $names | nindent 14 }}
          # An update's new pods are spread among themselves.
          matchLabelKeys: [pod-template-hash]
      {{- end }}
      containers:
        - name: scoring
          image: {{ include "fraud-platform.image" (dict "root" .root "repository" $repository "tag" $tag) }}
          imagePullPolicy: {{ $global.images.pullPolicy }}
          env:
            - {name: FRAUD_ROLE, value: {{ .role }}}
            - {name: FRAUD_GRPC_PORT, value: "3001"}
            {{- if and (eq .role "champion") (eq $values.rollout.stage "shadow") }}
            - {name: FRAUD_SHADOW_URL, value: "grpc://{{ include "fraud-platform.name" (dict "root" .root "component" "scoring-challenger") }}:3001"}
            {{- if not $global.access.allowUnauthenticated }}
            # Any key with the role score.
            - name: FRAUD_SHADOW_API_KEY
              {{- include "fraud-platform.secretReference" (dict "root" .root "existing" $global.access.existingSecret "key" "test-key") | nindent 14 }}
            {{- end }}
            {{- end }}
            {{- if gt (int $values.processes) 1 }}
            - {name: BENTOML_CONFIG_OPTIONS, value: services.fraud_detector.workers={{ $values.processes }}}
            {{- end }}
            {{- with .side.artifact }}
            - {name: FRAUD_ARTIFACT, value: /var/lib/fraud-artifacts/{{ . }}}
            {{- end }}
            {{- include "fraud-platform.serviceEnvironment" .root | nindent 12 }}
          {{- with include "fraud-platform.serviceEnvironmentFrom" .root }}
          {{- . | nindent 10 }}
          {{- end }}
          ports:
            - {name: http, containerPort: 3000}
            - {name: grpc, containerPort: 3001}
          # Started: gRPC, which begins after the model is warm, serves.
          startupProbe:
            grpc: {port: 3001}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: {{ $values.startupSeconds }}
          # Ready: an HTTP worker can predict. Does not depend on stores: without them answers come with defaults.
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 3
          # Alive: the event loop turns. Slow on purpose: a pod that is only busy must not be killed.
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          lifecycle:
            # Routes and gateways learn of the end first; the server answers meanwhile, then drains on SIGTERM.
            preStop:
              sleep: {seconds: {{ $values.preStopSeconds }}}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "fraud-platform.containerSecurity" .root | nindent 12 }}
          volumeMounts:
            {{- include "fraud-platform.serviceMounts" .root | nindent 12 }}
            {{- if $values.artifacts.existingClaim }}
            - {name: artifacts, mountPath: /var/lib/fraud-artifacts, readOnly: true}
            {{- end }}
      volumes:
        - name: home
          {{- if include "fraud-platform.scoring.alone" .root }}
          {{- include "fraud-platform.claimVolume" (dict "root" .root "component" "scoring" "persistence" $values.persistence) | nindent 10 }}
          {{- else }}
          emptyDir: {sizeLimit: {{ $values.temporarySpace }}}
          {{- end }}
        {{- include "fraud-platform.serviceVolumes" (dict "root" .root "temporarySpace" $values.temporarySpace "sharedMemory" $values.sharedMemory) | nindent 8 }}
        {{- with $values.artifacts.existingClaim }}
        - name: artifacts
          persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
        {{- end }}
{{- end -}}
